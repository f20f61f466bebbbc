import type { ObjectReader } from '../base/object-reader.ts'
import { PROTOCOLS } from '../flow/flow-record.ts'
import type { Protocol } from '../flow/flow-record.ts'
import type { ContainerPort, ServicePort } from './snapshot.ts'

type Plain = Readonly<Record<string, unknown>>

const MAX_PORT = 65_535

/**
 * Ports that a pod spec declares, in the order of the spec: of containers, and of restartable init containers
 * (`restartPolicy: Always`), which run beside them.
 */
export function readContainerPorts(spec: Plain, field: string, reader: ObjectReader): ContainerPort[] {
  const read = (list: 'containers' | 'initContainers'): Plain[] =>
    reader.list(spec[list], `${field}.${list}`).map((item, i) => reader.object(item, `${field}.${list}[${i}]`))
  const running = [...read('containers'), ...read('initContainers').filter((c) => c.restartPolicy === 'Always')]
  return running.flatMap((container) => reader.list(container.ports, `${field}.containers.ports`).flatMap((item) => {
    const place = `${field}.containers.ports`
    const port = reader.object(item, place)
    const containerPort = readNumber(port.containerPort, `${place}.containerPort`, reader)
    const protocol = readProtocol(port.protocol)
    if (containerPort === undefined || protocol === undefined) return []
    const name = reader.text(port.name, `${place}.name`) ?? ''
    return [{ ...(name === '' ? {} : { name }), containerPort, protocol }]
  }))
}

/** Ports of a service; without `targetPort` the port itself is the target. */
export function readServicePorts(spec: Plain, reader: ObjectReader): ServicePort[] {
  return reader.list(spec.ports, 'spec.ports').flatMap((item, i) => {
    const place = `spec.ports[${i}]`
    const object = reader.object(item, place)
    const port = readNumber(object.port, `${place}.port`, reader)
    const protocol = readProtocol(object.protocol)
    if (port === undefined || protocol === undefined) return []
    const target = object.targetPort
    const name = reader.text(object.name, `${place}.name`) ?? ''
    const targetPort = typeof target === 'string' && target !== '' ? target : typeof target === 'number' && target !== 0 ? target : port
    return [{ ...(name === '' ? {} : { name }), port, targetPort, protocol }]
  })
}

/** TCP when absent; `undefined` for one that no NetworkPolicy can express. */
function readProtocol(value: unknown): Protocol | undefined {
  return value === undefined || value === null || value === '' ? 'TCP' : PROTOCOLS.find((p) => p === value)
}

function readNumber(value: unknown, field: string, reader: ObjectReader): number | undefined {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= MAX_PORT) return value
  reader.invalid(field, value ?? null, `must be between 1 and ${MAX_PORT}, inclusive`)
  return undefined
}
