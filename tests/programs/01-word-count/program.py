# From: distributed 2026.8.0, docs/source/examples/word-count.rst, "The complete Python script"
# License: BSD-3-Clause, ../LICENSE.txt
# Changed: hdfs3.HDFileSystem(...) is GeneratedFiles(), because there is no HDFS: the same three methods
#          over 12 generated mails; Client('SCHEDULER_IP:SCHEDULER_PORT') is Client(), an address.

import io
import random
from collections import defaultdict, Counter
from distributed import Client
from distributed.diagnostics.progressbar import progress


class GeneratedFiles:
    def glob(self, pattern):
        return ['/tmp/enron/edrm-enron-v2_%02d_xml.zip/merged.txt' % i for i in range(12)]

    def head(self, fn):
        with self.open(fn) as f:
            return f.read(1024)

    def open(self, fn):
        rng = random.Random(fn)
        words = [b'the', b'of', b'to', b'and', b'or', b'in', b'a', b'any', b'by', b'is']
        lines = (b' '.join(rng.choices(words, k=10)) for _ in range(2000))
        return io.BytesIO(b'\r\n'.join(lines))


hdfs = GeneratedFiles()
client = Client()

filenames = hdfs.glob('/tmp/enron/*/*')
print(filenames[:5])
print(hdfs.head(filenames[0]))


def count_words(fn):
    word_counts = defaultdict(int)
    with hdfs.open(fn) as f:
        for line in f:
            for word in line.split():
                word_counts[word] += 1
    return word_counts

counts = count_words(filenames[0])
print(sorted(counts.items(), key=lambda k_v: k_v[1], reverse=True)[:10])

future = client.submit(count_words, filenames[0])
counts = future.result()
print(sorted(counts.items(), key=lambda k_v: k_v[1], reverse=True)[:10])

futures = client.map(count_words, filenames)
len(futures)
futures[:5]
progress(futures)


def top_items(d):
    items = sorted(d.items(), key=lambda kv: kv[1], reverse=True)[:10000]
    return dict(items)

futures2 = client.map(top_items, futures)
results = client.gather(iter(futures2))

all_counts = Counter()
for result in results:
    all_counts.update(result)

print(len(all_counts))

print(sorted(all_counts.items(), key=lambda k_v: k_v[1], reverse=True)[:10])
