/** One message of each protobuf schema that is read, with its field numbers written by hand. */
import { fixed32, fixed64, message } from './wire.ts'
import type { WireField } from './wire.ts'

export const AT = 1767323045
export const timestamp = (nanos = 123456789): WireField[] => [[1, AT], [2, nanos]]
/** flow.Flow with the field numbers of Hubble. */
export const flowFields: readonly WireField[] = [
  [1, timestamp()], [2, 1], [4, [[1, '0a:00'], [2, '0b:00']]], [5, [[1, '10.0.1.10'], [2, '10.0.2.20'], [3, 1]]], [6, [[1, [[1, 40000], [2, 5432], [3, [[2, 1]]]]]]],
  [8, [[1, 7], [2, 4711], [3, 'shop'], [4, 'k8s:app=web'], [4, 'k8s:io.kubernetes.pod.namespace=shop'], [5, 'web-7d4b9c6f58-x2k9p'], [6, [[1, 'web'], [2, 'Deployment']]]]],
  [9, [[2, 4712], [3, 'shop'], [4, 'k8s:app=db'], [5, 'db-0']]], [10, 1], [11, 'node-1'], [19, [[1, 4], [2, 3]]], [22, 2], [24, 3], [26, []],
  [34, '0c0a5c2e-1111-4222-8333-444455556666'], [100000, 'summary'], [150000, [[1, 'type.googleapis.com/x'], [2, 'bytes']]], [21002, [[1, 'db'], [2, 'shop'], [4, 6]]],
]
export const flow = message(...flowFields)
export const goldmaneFlow = message(
  [1, [[1, 'web-7d4b9c6f58-*'], [2, 'shop'], [3, 1], [4, 'db-*'], [5, 'shop'], [6, 1], [7, 5432], [12, 'tcp'], [13, 2], [14, 1], [15, [[1, [[1, 6], [2, 'shop'], [3, 'db'], [5, 1], [7, -1]]]]]]],
  [2, AT], [3, AT + 300], [4, 'app=web'], [5, 'app=db'], [6, 12], [8, 9007199254740993n], [10, 3],
)
export const ipv4 = (a: number): Buffer => fixed32(1, 0x0a000000 + a)
export const record = (protocol: number, extra: readonly WireField[] = []): Buffer => message(
  [1, 2048], [2, 1], [3, timestamp(250_000_000)], [4, timestamp(999_999_999)], [6, [[1, ipv4(1)], [2, ipv4(2)]]], [7, [[1, 40000], [2, 5432], [3, protocol]]], [8, 1234], [9, 5], [10, 'eth0'],
  [12, ipv4(9)], [13, 2], [29, 50], ...extra,
)
export const antreaFlow = message([1, AT + 9], [4, AT], [5, AT + 60], [6, '10.0.1.10'], [7, '10.0.2.20'], [8, 40000], [9, 5432], [10, 6], [13, 5], [19, 'web'], [20, 'shop'], [22, 'db-0'], [23, 'shop'],
  [25, '10.96.0.9'], [34, 5432], [26, 'shop/db:pg'], [29, 'db'], [30, 'shop'], [33, '10.9.9.9'], [36, 'ESTABLISHED'])
const AT_NS = BigInt(AT) * 1_000_000_000n
export const textBody = (text: string): Buffer => message([5, [[1, text]]])
export const otlp = (...records: Buffer[]): Buffer => message([1, [[1, [[1, [[1, 'service.name'], [2, [[1, 'x']]]]]]], [2, [[1, [[1, 'scope']]], ...records.map((one): WireField => [2, Buffer.concat([fixed64(1, AT_NS), one])])]]]])
