// Netpol applies NetworkPolicies: the kernel asks it about each new connection of a pod (NFQUEUE).
//
// The rules of a policy are read by kube-network-policies. Its own program is not used: it needs nftables
// expressions that not every kernel has, and drops what a pod sends before the API server knows its address.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"syscall"
	"time"

	"github.com/florianl/go-nfqueue/v2"
	"github.com/mdlayher/netlink"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/klog/v2"
	"sigs.k8s.io/kube-network-policies/pkg/api"
	"sigs.k8s.io/kube-network-policies/pkg/network"
	"sigs.k8s.io/kube-network-policies/pkg/networkpolicy"
)

const (
	byIP = "ip"
	// A pod's address is in the API a second after the pod can send. Until then it is a stranger,
	// and what would be refused to a stranger waits; what is open to everybody does not.
	acquaintance = 3 * time.Second
	askAgain     = 20 * time.Millisecond
	// The log: 50 refused connections at once, then one line in ten seconds.
	linesAtOnce    = 50
	linesPerSecond = 0.1
)

// pods finds pods by their addresses.
type pods struct {
	known      cache.Indexer
	namespaces corelisters.NamespaceLister
}

// addresses leaves out pods that are over: theirs may be another pod's by now.
func addresses(obj any) ([]string, error) {
	pod, ok := obj.(*v1.Pod)
	if !ok || pod.Spec.HostNetwork || pod.Status.Phase == v1.PodSucceeded || pod.Status.Phase == v1.PodFailed {
		return nil, nil
	}
	found := make([]string, 0, len(pod.Status.PodIPs))
	for _, ip := range pod.Status.PodIPs {
		found = append(found, ip.IP)
	}
	return found, nil
}

func (p pods) GetPodInfoByIP(ip string) (*api.PodInfo, bool) {
	found, err := p.known.ByIndex(byIP, ip)
	if err != nil || len(found) == 0 {
		return nil, false
	}
	pod := found[0].(*v1.Pod)
	var labels map[string]string
	if namespace, err := p.namespaces.Get(pod.Namespace); err == nil {
		labels = namespace.Labels
	}
	return api.NewPodInfo(pod, labels, nil, ""), true
}

// judge says what policies allow.
type judge struct {
	pods   pods
	engine *networkpolicy.PolicyEngine
	lines  flowcontrol.RateLimiter
}

// allows waits only for an answer that would be no, of a sender that is not known yet.
func (j judge) allows(ctx context.Context, packet network.Packet) bool {
	for end := time.Now().Add(acquaintance); ; time.Sleep(askAgain) {
		_, known := j.pods.GetPodInfoByIP(packet.SrcIP.String())
		allowed, err := j.engine.EvaluatePacket(ctx, &packet)
		if err == nil && !allowed && !known && time.Now().Before(end) {
			continue
		}
		if (err != nil || !allowed) && j.lines.TryAccept() {
			klog.InfoS("refused", "from", packet.SrcIP, "to", packet.DstIP, "port", packet.DstPort,
				"protocol", packet.Proto, "known", known, "err", err)
		}
		return err == nil && allowed
	}
}

// answer reads the queue until the context or the socket ends.
func (j judge) answer(ctx context.Context, number int) error {
	queue, err := nfqueue.Open(&nfqueue.Config{
		NfQueue:      uint16(number),
		Flags:        nfqueue.NfQaCfgFlagGSO | nfqueue.NfQaCfgFlagFailOpen,
		MaxPacketLen: 128, // headers
		MaxQueueLen:  4096,
		Copymode:     nfqueue.NfQnlCopyPacket,
	})
	if err != nil {
		return err
	}
	if err := queue.SetOption(netlink.NoENOBUFS, true); err != nil {
		return err
	}
	decide := func(asked nfqueue.Attribute) int {
		go func() {
			verdict := nfqueue.NfAccept
			packet, err := network.ParsePacket(*asked.Payload)
			// What is no TCP, UDP or SCTP is no matter of policies.
			if err == nil && !j.allows(ctx, packet) {
				verdict = nfqueue.NfDrop
			}
			if err := queue.SetVerdict(*asked.PacketID, verdict); err != nil {
				klog.Fatalf("a verdict: %v", err)
			}
		}()
		return 0
	}
	ended := func(err error) int {
		var one *netlink.OpError
		if errors.As(err, &one) && (one.Timeout() || one.Temporary()) {
			return 0
		}
		// The kernel drops what waits for a device that goes, and then knows nothing of its verdict.
		if errors.Is(err, syscall.ENOENT) {
			return 0
		}
		klog.Fatalf("the queue: %v", err) // without a reader the kernel lets everything pass
		return 1
	}
	return queue.RegisterWithErrorFunc(ctx, decide, ended)
}

func connect(kubeconfig string) (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.ContentType = "application/vnd.kubernetes.protobuf"
	return kubernetes.NewForConfig(config)
}

// newJudge follows pods, namespaces and policies, and returns when it knows all that there are.
func newJudge(ctx context.Context, client kubernetes.Interface, node string) (judge, error) {
	factory := informers.NewSharedInformerFactory(client, 0)
	// Thousands of pods may be on fake nodes.
	local := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTweakListOptions(
		func(options *metav1.ListOptions) { options.FieldSelector = "spec.nodeName=" + node }))
	all, namespaces := local.Core().V1().Pods(), factory.Core().V1().Namespaces()
	slim := func(obj any) (any, error) {
		if pod, ok := obj.(*v1.Pod); ok {
			pod.ManagedFields = nil
		}
		return obj, nil
	}
	if err := errors.Join(
		all.Informer().SetTransform(slim),
		all.Informer().AddIndexers(cache.Indexers{byIP: addresses}),
	); err != nil {
		return judge{}, err
	}
	found := pods{all.Informer().GetIndexer(), namespaces.Lister()}
	policies := networkpolicy.NewStandardNetworkPolicy(
		node, namespaces, all, factory.Networking().V1().NetworkPolicies())
	engine := networkpolicy.NewPolicyEngine(found, []api.PolicyEvaluator{policies})
	for _, one := range []informers.SharedInformerFactory{factory, local} {
		one.Start(ctx.Done())
		one.WaitForCacheSync(ctx.Done())
	}
	return judge{found, engine, flowcontrol.NewTokenBucketRateLimiter(linesPerSecond, linesAtOnce)}, nil
}

func run() error {
	kubeconfig := flag.String("kubeconfig", "", "how to reach the API server")
	node := flag.String("node", "", "the node whose pods these are")
	number := flag.Int("queue", 0, "the number of the queue")
	ready := flag.String("ready", "", "the address that answers /ready when policies apply")
	flag.Parse()
	ctx := context.Background()
	client, err := connect(*kubeconfig)
	if err != nil {
		return err
	}
	judge, err := newJudge(ctx, client, *node)
	if err != nil {
		return err
	}
	if err := judge.answer(ctx, *number); err != nil {
		return fmt.Errorf("queue %d: %w", *number, err)
	}
	klog.InfoS("reading", "queue", *number)
	http.HandleFunc("/ready", func(http.ResponseWriter, *http.Request) {}) // only served from here on
	return http.ListenAndServe(*ready, nil)
}

func main() {
	klog.Fatal(run())
}
