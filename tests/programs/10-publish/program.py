# From: distributed 2026.8.0, docs/source/publish.rst, "Motivating Example" and "Dictionary interface"
# License: BSD-3-Clause, ../LICENSE.txt
# Changed: prompts removed; Client('scheduler-address:8786') is Client(), an address; dd.read_csv('s3://...')
#          is dask.datasets.timeseries with the same two columns, because there is no S3; the answers are
#          printed; the last line takes the dataset away again

from dask.distributed import Client
client = Client()

import dask
import dask.dataframe as dd
df = dask.datasets.timeseries(end='2000-01-05', freq='1min', seed=1,
                              dtypes={'name': str, 'balance': float})
df2 = df[df.balance < 0]
df2 = client.persist(df2)

print(df2.head())

client.publish_dataset(negative_accounts=df2)

from dask.distributed import Client
client = Client()

print(client.list_datasets())

df = client.get_dataset('negative_accounts')
print(df.head())

client.datasets['again'] = df

print(list(client.datasets))
df = client.datasets['again']
print('rows', len(df), 'most', df.balance.max().compute())

for name in list(client.datasets): client.unpublish_dataset(name)
