import type { LiveStream, StreamHandler } from '../../src/sources/grpc-stream.ts'

/** A consumer of a live stream that keeps what it gets. */
export class StreamRecorder implements StreamHandler {
  readonly messages: Buffer[] = []
  readonly answers: Buffer[] = []
  readonly statuses: { readonly isConnected: boolean; readonly text: string }[] = []
  opened = 0
  tooLarges = 0
  isAsking = true
  onMessage: () => void = () => undefined
  readonly #request: Buffer
  readonly #stop = new AbortController()
  #ended: Promise<void> = Promise.resolve()

  constructor(request: Buffer) {
    this.#request = request
  }

  /** Starts reading; the promise is that of `run`. */
  start(stream: LiveStream): Promise<void> {
    this.#ended = stream.run(this, this.#stop.signal)
    this.#ended.catch(() => undefined)
    return this.#ended
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#ended.catch(() => undefined)
  }

  opening(): Promise<Buffer> {
    this.opened++
    return Promise.resolve(this.#request)
  }

  message(bytes: Buffer): void {
    this.messages.push(bytes)
    this.onMessage()
  }

  question(): Buffer | undefined {
    return this.isAsking ? Buffer.alloc(0) : undefined
  }

  answer(bytes: Buffer): void {
    this.answers.push(bytes)
  }

  tooLarge(): void {
    this.tooLarges++
  }

  status(status: { readonly isConnected: boolean; readonly text: string }): void {
    this.statuses.push(status)
  }
}
