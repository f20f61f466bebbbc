import { stringify } from 'yaml'

/**
 * Objects as multi-document YAML, keys in their own order. Deterministic: equal objects give equal bytes. Texts that a
 * YAML 1.1 reader such as kubectl's would take for something else (`yes`, `1:30`) are quoted.
 */
export function printYaml(objects: readonly unknown[]): string {
  const options = { lineWidth: 0, compat: 'yaml-1.1', aliasDuplicateObjects: false } as const
  return objects.map((object) => stringify(object, options)).join('---\n')
}
