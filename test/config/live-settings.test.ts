import { describe, expect, test } from '@jest/globals'
import { loadConfig } from '../../src/config/load-config.ts'

function problemOf(env: Record<string, string>): string {
  return loadConfig(env).problems.join('\n')
}

describe('settings of live streams', () => {
  test('addresses, each with its cluster; filters as JSON', () => {
    const { config, problems } = loadConfig({
      FLOWFENCE_HUBBLE_RELAY: 'hubble-relay.kube-system:443, [fd00::1]:4245=eu-1, unix:/run/hubble.sock=local', FLOWFENCE_HUBBLE_NAMESPACES: 'shop, payments',
      FLOWFENCE_HUBBLE_ALLOWLIST: '{"source_pod":["a/"]}\n{"verdict":["DROPPED"]}', FLOWFENCE_HUBBLE_DENYLIST: '[{"reply":[true]}]', FLOWFENCE_GOLDMANE: 'goldmane.calico-system:7443',
      FLOWFENCE_GOLDMANE_TLS: 'OFF', FLOWFENCE_STREAM_SILENCE_MS: '5000',
    })
    expect(problems).toEqual([])
    expect(config).toMatchObject({
      hubbleRelays: [{ address: 'hubble-relay.kube-system:443', cluster: undefined }, { address: '[fd00::1]:4245', cluster: 'eu-1' }, { address: 'unix:/run/hubble.sock', cluster: 'local' }],
      hubbleNamespaces: ['shop', 'payments'], hubbleAllow: [{ source_pod: ['a/'] }, { verdict: ['DROPPED'] }], hubbleDeny: [{ reply: [true] }],
      goldmanes: [{ address: 'goldmane.calico-system:7443', cluster: undefined }], goldmaneTls: 'off', streamSilenceMs: 5_000,
    })
  })

  test('what is wrong is named', () => {
    expect(problemOf({ FLOWFENCE_HUBBLE_RELAY: 'https://relay' })).toBe('FLOWFENCE_HUBBLE_RELAY holds "https://relay", but must be a comma list of host:port or host:port=cluster, such as hubble-relay.kube-system:443 or relay.eu.example:443=prod-eu.')
    expect(problemOf({ FLOWFENCE_GOLDMANE: 'goldmane:7443=-x' })).toMatch(/^FLOWFENCE_GOLDMANE holds "goldmane:7443=-x", whose cluster is "-x", but a cluster name has letters/)
    expect(problemOf({ FLOWFENCE_GOLDMANE: 'a:1=x,a:1=y' })).toBe('FLOWFENCE_GOLDMANE holds a:1 twice; each stream is read once and belongs to one cluster.')
    expect(problemOf({ FLOWFENCE_HUBBLE_NAMESPACES: 'Shop' })).toBe('FLOWFENCE_HUBBLE_NAMESPACES holds "Shop", but must be a comma list of namespaces, such as shop,payments.')
    expect(problemOf({ FLOWFENCE_HUBBLE_ALLOWLIST: 'source_pod=shop/' })).toMatch(/^FLOWFENCE_HUBBLE_ALLOWLIST must hold Hubble's flow filters as JSON/)
    expect(problemOf({ FLOWFENCE_HUBBLE_RELAY_TLS: 'no' })).toBe('FLOWFENCE_HUBBLE_RELAY_TLS is "no", but must be one of on, off.')
  })
})
