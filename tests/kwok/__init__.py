"""The agent as a process of this machine, against a real API server, with fake nodes and played runners.

Start fake nodes once with ``python3 ci/cluster kwok up``; KUBECONFIG names the cluster. Then::

    from kwok.driver import Play, playing
    from kwok.site import site

    with site("crash", mode="static") as here:          # namespace, RBAC, rendered config, a token
        with here.agent() as agent:                     # python -m dask_flows agent …, waits until ready
            with playing(here.namespace) as driver:     # plays every runner pod of the namespace
                here.create("one")                      # a FlowRun
                status = here.kube.wait_run("one")      # as in tests/cluster
                agent.kill()                            # SIGKILL
                agent.start("--failpoint", "…")         # again, with more arguments; agent.wait_ready()
                driver.starts[(uid, 1)]                 # how often attempt 1 began its flow
                here.check(driver, agent)               # all invariants

``site(prefix, mode=…, **values)`` takes values of the chart, ``driver.behave`` or ``playing(…, behave)`` says
for each runner what its program does (:class:`kwok.driver.Play`). ``kwok.observer`` follows FlowRuns and tells
how long each step took and how many were active at once; ``kwok.audit`` counts the agent's API calls.
"""
