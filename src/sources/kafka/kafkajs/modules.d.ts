/** The parts of kafkajs 2.2.4 behind its public interface that internals.ts uses. The library is frozen since 2023. */
/* eslint-disable no-restricted-syntax -- as CommonJS modules are seen: a default export each */
interface KafkajsProtocol {
  request: object
  response: { decode: (raw: Buffer) => Promise<unknown>, parse: (data: never) => Promise<unknown> }
  requestTimeout?: number
}

interface KafkajsDefinition {
  versions: string[]
  protocol: (options: { version: number }) => (args: object) => KafkajsProtocol
}

declare module 'kafkajs/src/protocol/requests/fetch/index.js' {
  const definition: KafkajsDefinition
  export default definition
}

declare module 'kafkajs/src/protocol/requests/metadata/index.js' {
  const definition: KafkajsDefinition
  export default definition
}

declare module 'kafkajs/src/network/requestQueue/index.js' {
  export default class RequestQueue {
    throttledUntil: number
    pending: unknown[]
    scheduleCheckPendingRequests(): void
  }
}

declare module 'kafkajs/src/broker/index.js' {
  export default class Broker {
    nodeId: string | number | null
    allowAutoTopicCreation: boolean
    versions: Record<number, { minVersion: number, maxVersion: number }> | null
    connectionPool: { host: string, port: number, send: (protocol: KafkajsProtocol) => Promise<unknown> }
    lookupRequest: (apiKey: number, definition: KafkajsDefinition) => (args: object) => KafkajsProtocol
    metadata(topics?: string[]): Promise<unknown>
    disconnect(): Promise<void>
  }
}
