/** Lines of every format to start fuzzing from: those of the pages, those of tests, those of the reference samples where they exist. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { createRandom } from '../random.ts'
import { hubbleLines } from '../hubble-lines.ts'
import { sharedPath } from '../shared.ts'

const PAGES = fileURLToPath(new URL('../../../docs/sources', import.meta.url))
/** Of each sample file: enough shapes, few repeats. */
const LINES_PER_SAMPLE = 40
const MAX_LINE = 20_000

/** Calico Enterprise, and Hubble's records about the observation. */
const OWN: readonly string[] = [
  '{"start_time":1767323045,"end_time":1767323345,"source_ip":"10.0.1.10","source_name":"a-b","source_name_aggr":"a-*","source_namespace":"x","source_type":"wep","source_port":1,'
    + '"source_labels":{"labels":["a=b"]},"dest_ip":"10.0.2.20","dest_name":"-","dest_name_aggr":"pub","dest_namespace":"-","dest_port":53,"dest_type":"net","dest_labels":null,'
    + '"proto":"udp","action":"allow","reporter":"src","num_flows":1,"host":"n","policies":{"enforced_policies":["a"]}}',
  '{"lost_events":{"source":"PERF_EVENT_RING_BUFFER","num_events_lost":"3","cpu":1},"node_name":"node-1","time":"2026-01-01T00:00:00Z"}',
  '{"node_status":{"state_change":"NODE_GONE","node_names":["a"],"message":"b"},"time":"2026-01-01T00:00:00Z"}',
  'level=info msg="not json"',
]

/** In groups, so that a format with few lines comes as often as one with many: a page, a folder of samples, the tests' own lines. */
export function baseLines(): string[][] {
  const samples = sharedPath('formats/samples')
  const groups = [
    ...readdirSync(PAGES).sort().map((file) => linesOfPage(readFileSync(`${PAGES}/${file}`, 'utf8'))),
    hubbleLines(createRandom(1), 6).map((line) => line.trimEnd()), OWN,
    ...(samples === undefined ? [] : readdirSync(samples).sort().map((folder) => linesOfFolder(`${samples}/${folder}`))),
  ]
  return groups.map((lines) => lines.filter((line) => line.trim() !== '' && line.length <= MAX_LINE)).filter((lines) => lines.length > 0)
}

/** The lines of the page's blocks of json and text; an object printed over several lines becomes one. */
function linesOfPage(markdown: string): string[] {
  return [...markdown.matchAll(/^```(?:json|text|csv|)\n([^]*?)^```/gm)].flatMap(([, block = '']) => {
    try {
      return [JSON.stringify(JSON.parse(block))]
    } catch {
      return block.split('\n').filter((line) => line.trim() !== '')
    }
  })
}

function linesOfFolder(folder: string): string[] {
  return readdirSync(folder).sort().flatMap((name) => {
    const path = `${folder}/${name}`
    if (statSync(path).isDirectory()) return linesOfFolder(path)
    return name === 'SOURCE.txt' ? [] : readFileSync(path, 'utf8').split('\n').slice(0, LINES_PER_SAMPLE)
  })
}
