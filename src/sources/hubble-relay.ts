/**
 * Hubble Relay (or one agent's Hubble server): `observer.Observer/GetFlows` as an endless stream. Each message is a `GetFlowsResponse`: a flow, lost
 * events, or the state of a node. The question asked beside it is `ServerStatus`, which tells how many flows there were to deliver.
 */
import { createGrpcStream } from './grpc-stream.ts'
import type { GrpcStreamOptions, LiveStream } from './grpc-stream.ts'

const SERVICE = {
  what: 'Hubble Relay', setting: 'FLOWFENCE_HUBBLE_RELAY', streamMethod: '/observer.Observer/GetFlows', questionMethod: '/observer.Observer/ServerStatus',
}

/** AppError `usage` when the address is none. */
export function createHubbleRelay(options: GrpcStreamOptions): LiveStream {
  return createGrpcStream(SERVICE, options)
}
