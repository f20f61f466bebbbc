import { US_PER_SECOND } from '../base/time.ts'
import type { Connection } from './connection-stream.ts'

/** Which record of a connection: who reports it, which packet it shows, and the constant parts of its text. */
export interface HubbleStep {
  readonly kind: 'l4' | 'dns-request' | 'dns-response'
  readonly reporter: 'client' | 'server'
  readonly isReply: boolean
  /** The reply names the Service's address and port, as where the node translates them (not the socket). */
  readonly isTranslated: boolean
  /** Text after the ports, closing the layer-4 object. */
  readonly flags: string
  /** Text from event_type to the end of the flow. */
  readonly tail: string
}

/** A step and when it happens, microseconds after the packet that causes it. */
export interface TimedStep {
  readonly step: HubbleStep
  readonly afterUs: number
}

/** The records of one kind of connection: at its start, every five seconds, at its end. */
export interface HubbleScript {
  readonly open: readonly TimedStep[]
  readonly repeat: readonly TimedStep[]
  readonly close: readonly TimedStep[]
}

/** Trace points and their sub types (Cilium pkg/monitor/api). */
const POINTS = { TO_ENDPOINT: 0, TO_STACK: 3, TO_OVERLAY: 4, TO_NETWORK: 11 } as const
type Point = keyof typeof POINTS

/** `monitor-aggregation: medium` shows an open connection again after this long. */
export const REPEAT_US = 5 * US_PER_SECOND

interface StepOptions {
  readonly reporter: 'client' | 'server'
  readonly isReply: boolean
  /** `undefined`: a policy-verdict event. */
  readonly point: Point | undefined
  /** TCP flags; [] for UDP. */
  readonly flags: readonly string[]
  /** The datapath did not look into connection tracking: no is_reply and no direction. */
  readonly isUntracked?: boolean
  readonly isTranslated?: boolean
  readonly protocol: string
}

function createStep(o: StepOptions): HubbleStep {
  const direction = o.reporter === 'client' ? 'EGRESS' : 'INGRESS'
  const isNew = o.flags.includes('SYN') || (o.flags.length === 0 && !o.isReply)
  const summary = o.protocol === 'TCP' ? `TCP Flags: ${o.flags.join(', ')}` : o.protocol
  const flags = o.flags.length === 0 ? '}}' : `,"flags":{${o.flags.map((f) => `"${f}":true`).join(',')}}}}`
  const tail = o.point === undefined
    ? `"event_type":{"type":5},"traffic_direction":"${direction}","policy_match_type":4,"is_reply":false,"Summary":"${summary}"}`
    : o.isUntracked === true
      ? `"event_type":{"type":4,"sub_type":${POINTS[o.point]}},"trace_observation_point":"${o.point}","Summary":"${summary}"}`
      : `"event_type":{"type":4${POINTS[o.point] === 0 ? '' : `,"sub_type":${POINTS[o.point]}`}},"traffic_direction":"${direction}","trace_observation_point":"${o.point
      }","trace_reason":"${o.isReply ? 'REPLY' : isNew ? 'NEW' : 'ESTABLISHED'}","is_reply":${o.isReply},"Summary":"${summary}"}`
  return { kind: 'l4', reporter: o.reporter, isReply: o.isReply, isTranslated: o.isTranslated ?? false, flags, tail }
}

/** What decides which records a connection leaves. */
interface ScriptClass {
  readonly protocol: string
  readonly isClientPod: boolean
  readonly isServerPod: boolean
  readonly isSameNode: boolean
  readonly isOutside: boolean
  readonly isUntracked: boolean
  readonly isTranslated: boolean
  readonly hasDns: boolean
}

const scripts = new Map<number, HubbleScript>()

/** The records of a connection. One in sixteen leaves its overlay and network records untracked. */
export function scriptOf(connection: Connection, about: { isTranslated: boolean; hasDns: boolean }): HubbleScript {
  const { client, server } = connection
  const protocol = connection.edge.edge.protocol
  const c: ScriptClass = {
    protocol,
    isClientPod: client.pod !== undefined,
    isServerPod: server.pod !== undefined,
    isSameNode: client.nodeIndex === server.nodeIndex,
    isOutside: client.nodeIndex < 0 || server.nodeIndex < 0,
    isUntracked: connection.sourcePort % 16 === 0,
    ...about,
  }
  const bits = [c.isClientPod, c.isServerPod, c.isSameNode, c.isOutside, c.isUntracked, c.isTranslated, c.hasDns].reduce((sum, b) => sum * 2 + Number(b), 0)
  const key = bits * 4 + (protocol === 'TCP' ? 0 : protocol === 'UDP' ? 1 : 2)
  let script = scripts.get(key)
  if (script === undefined) {
    script = createScript(c)
    scripts.set(key, script)
  }
  return script
}

function createScript(c: ScriptClass): HubbleScript {
  const isTcp = c.protocol === 'TCP'
  const open = [
    ...verdicts(c, isTcp ? ['SYN'] : []),
    ...packet(c, { isReply: false, flags: isTcp ? ['SYN'] : [], afterUs: 0 }),
    ...packet(c, { isReply: true, flags: isTcp ? ['SYN', 'ACK'] : [], afterUs: 310 }),
    ...(c.hasDns ? dnsSteps() : []),
  ]
  const repeat = [
    ...packet(c, { isReply: false, flags: isTcp ? ['ACK', 'PSH'] : [], afterUs: 0 }),
    ...packet(c, { isReply: true, flags: isTcp ? ['ACK', 'PSH'] : [], afterUs: 350 }),
  ]
  const close = isTcp ? [
    ...packet(c, { isReply: false, flags: ['ACK', 'FIN'], afterUs: -700 }),
    ...packet(c, { isReply: true, flags: ['ACK', 'FIN'], afterUs: -350 }),
  ] : []
  return { open, repeat, close }
}

/** One verdict event at each end that is a pod, also where no policy selects it. */
function verdicts(c: ScriptClass, flags: readonly string[]): TimedStep[] {
  const of = (reporter: 'client' | 'server', afterUs: number): TimedStep =>
    ({ afterUs, step: createStep({ reporter, isReply: false, point: undefined, flags, protocol: c.protocol }) })
  return [...(c.isClientPod ? [of('client', 0)] : []), ...(c.isServerPod ? [of('server', 170)] : [])]
}

/** The records of one packet: where it leaves a node and where it reaches a pod. On one node only the delivery is seen. */
function packet(c: ScriptClass, p: { isReply: boolean; flags: readonly string[]; afterUs: number }): TimedStep[] {
  const { isReply, flags } = p
  const common = { isReply, flags, protocol: c.protocol }
  const sender = isReply ? 'server' : 'client'
  const receiver = isReply ? 'client' : 'server'
  const isSenderPod = isReply ? c.isServerPod : c.isClientPod
  const isReceiverPod = isReply ? c.isClientPod : c.isServerPod
  const steps: TimedStep[] = []
  const add = (afterUs: number, options: StepOptions): void => { steps.push({ afterUs: p.afterUs + afterUs, step: createStep(options) }) }
  if (isSenderPod && isReceiverPod && !c.isSameNode) add(25, { ...common, reporter: sender, point: 'TO_OVERLAY', isUntracked: c.isUntracked })
  if (isSenderPod && !isReceiverPod) {
    add(22, { ...common, reporter: sender, point: 'TO_STACK' })
    if (c.isOutside && flags.includes('SYN')) add(41, { ...common, reporter: sender, point: 'TO_NETWORK', isUntracked: true })
  }
  if (isReceiverPod) add(190, { ...common, reporter: receiver, point: 'TO_ENDPOINT', isTranslated: isReply && c.isTranslated })
  return steps
}

/** The DNS proxy's account of the query and the answer: enrichment of the connection, without flags and trace point. */
function dnsSteps(): TimedStep[] {
  const common = { reporter: 'client', isTranslated: false, flags: '}}' } as const
  return [
    { afterUs: 80, step: { ...common, kind: 'dns-request', isReply: false, tail: '"event_type":{"type":129},"traffic_direction":"EGRESS","is_reply":false,"Summary":"DNS Query ' } },
    { afterUs: 640, step: { ...common, kind: 'dns-response', isReply: true, tail: '"event_type":{"type":129},"traffic_direction":"EGRESS","is_reply":true,"Summary":"DNS Answer ' } },
  ]
}
