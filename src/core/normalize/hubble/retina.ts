import { readCount } from '../ports.ts'
import { isObject } from '../problems.ts'
import type { HubbleFacts } from './hubble-facts.ts'

/** Keys that Retina alone writes into a flow's metadata (pkg/utils/flow_utils.go). */
const RETINA_KEYS = ['previously_observed_packets', 'previously_observed_bytes', 'previously_observed_tcp_flags', 'tcp_id', 'dns_type', 'num_responses', 'bytes', 'drop_reason', 'source_zone', 'destination_zone']

/**
 * Sets `isRetina` and `isSampled` from `Flow.extensions`, a protobuf Any in any form: `{"@type":…,"value":{…}}`, its fields beside `@type`, or bytes
 * that nothing here can decode. Metadata of another producer, named by its type, says nothing.
 */
export function readRetina(extensions: unknown, facts: HubbleFacts): void {
  facts.isRetina = facts.isSampled = false
  if (!isObject(extensions)) return
  const type = extensions['@type'] ?? extensions.type_url ?? extensions.typeUrl
  const content = isObject(extensions.value) ? extensions.value : extensions
  const isNamed = typeof type === 'string' && type !== '' && !type.endsWith('/google.protobuf.Struct')
  facts.isRetina = isNamed ? /retina/i.test(type.slice(0, 256)) : typeof type === 'string' || RETINA_KEYS.some((key) => content[key] !== undefined)
  if (!facts.isRetina) return
  facts.isSampled = (readCount(content.previously_observed_packets ?? content.previouslyObservedPackets) ?? 0) > 0
}
