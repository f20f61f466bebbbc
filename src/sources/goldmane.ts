/**
 * Calico's Goldmane: `goldmane.Flows/Stream` as an endless stream. Each message is a `FlowResult`: one flow in one window of 15 seconds, sent some
 * windows later. The question asked beside it is `Flows.List`: are there flows that the stream should have brought?
 */
import { createGrpcStream } from './grpc-stream.ts'
import type { GrpcStreamOptions, LiveStream } from './grpc-stream.ts'

const SERVICE = { what: 'Goldmane', setting: 'FLOWFENCE_GOLDMANE', streamMethod: '/goldmane.Flows/Stream', questionMethod: '/goldmane.Flows/List' }

/** AppError `usage` when the address is none. */
export function createGoldmane(options: GrpcStreamOptions): LiveStream {
  return createGrpcStream(SERVICE, options)
}
