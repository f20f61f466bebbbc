import { writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { AppError } from '../../../core/base/app-error.ts'
import { buildSnapshot } from '../../../core/cluster/build-snapshot.ts'
import { loadTopology } from '../../../manifests/load-topology.ts'
import { recommend } from '../../../pipeline/recommend.ts'
import type { AddCommand } from '../command.ts'
import type { CliContext, Demo } from '../context.ts'
import { calicoFile, hubbleBodies, simulateLastHour } from '../demo/demo-traffic.ts'
import type { DemoTraffic } from '../demo/demo-traffic.ts'
import { certificateText, endText, policiesText, receivedText, reviewText, serviceText, wrongPoliciesText } from '../demo/demo-text.ts'
import { checkWrongPolicies } from '../demo/wrong-policies.ts'
import { EXIT } from '../exit-codes.ts'
import { parseNumberFlag } from '../flags.ts'
import { trackFiles } from '../progress.ts'

const CLUSTER = 'demo'
/** Its policies are printed. */
const NAMESPACE = 'payments'

/** `demo`: the whole path on an example application, in a temporary folder. */
export const demoCommand: AddCommand = (program, context, finish) => {
  program.command('demo')
    .summary('show the whole path on an example application')
    .description('Simulates the last hour of an example shop, sends its flow logs through the real service and database, and prints what was received, the '
      + 'recommended policies, their certificate, and what wrong policies would deny. Everything lives in a temporary folder that is removed at the end.')
    .option('--once', 'end after printing instead of keeping the service running')
    .option('--port <number>', 'port of the service (default: a free one)', parseNumberFlag(0, 65_535, { isWhole: true }))
    .addHelpText('after', '\nExamples:\n  flowfence demo\n  flowfence demo --once > demo.txt')
    .action(async ({ once = false, port = 0 }: { once?: boolean; port?: number }) => {
      const { output, signal } = context
      const startedAt = performance.now()
      step(context, 1, 'Starting a database and the service in a temporary folder')
      const demo = await context.openDemo({ port, cluster: CLUSTER })
      let isShown = false
      try {
        await show(demo, context)
        output.note(`The demo took ${((performance.now() - startedAt) / 1000).toFixed(0)} seconds.`)
        isShown = true
        await output.result(once ? endText(demo.url) : serviceText(demo.url))
        if (!once) await untilAborted(signal)
      } catch (error) {
        if (!signal.aborted) throw error
        if (!isShown) finish(EXIT.interrupted)
      } finally {
        await demo.close()
      }
      if (signal.aborted) output.note('Stopped; the temporary folder is removed.')
    })
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) done()
    else signal.addEventListener('abort', () => done(), { once: true })
  })
}

const STEPS = 5

function step({ output, signal }: CliContext, number: number, title: string): void {
  signal.throwIfAborted()
  output.note(`[${number}/${STEPS}] ${title} …`)
}

async function show(demo: Demo, context: CliContext): Promise<void> {
  const { output, examples } = context
  const nowUs = context.nowUs()
  const traffic = simulateLastHour(await loadTopology(join(examples, 'shop.yaml')), CLUSTER, nowUs)
  step(context, 2, 'Storing half an hour of Calico Enterprise flow logs from a file')
  await ingestCalico(demo, traffic, context)
  step(context, 3, 'Pushing half an hour of Hubble flow logs to the service')
  await pushHubble(demo, traffic, { ...context, nowUs: () => nowUs })
  await output.result(receivedText((await demo.totals()).map((t) => ({ ...t, source: t.source === 'http' ? 'pushed to the service' : basename(t.source) })), traffic))
  step(context, 4, 'Writing and verifying policies')
  const observed = await demo.observe()
  const { snapshot } = buildSnapshot(traffic.hubble.clusterObjects())
  const document = recommend(observed, { cluster: CLUSTER, namespace: NAMESPACE, snapshot })
  await output.result(policiesText(document, NAMESPACE))
  await output.result(certificateText(document))
  step(context, 5, 'Checking wrong policies')
  await output.result(wrongPoliciesText(await checkWrongPolicies(join(examples, 'wrong-policies'), observed, { cluster: CLUSTER, snapshot })))
  await output.result(reviewText(recommend(observed, { cluster: CLUSTER, snapshot })))
}

async function ingestCalico(demo: Demo, traffic: DemoTraffic, { output }: CliContext): Promise<void> {
  const path = join(demo.folder, 'calico-flows.log')
  await writeFile(path, calicoFile(traffic.calico.lines()))
  const progress = trackFiles(output, 'storing')
  try {
    await demo.ingestFiles([path], progress.onProgress)
  } finally {
    progress.stop()
  }
}

async function pushHubble(demo: Demo, traffic: DemoTraffic, { output, signal, nowUs }: CliContext): Promise<void> {
  let sent = 0
  for (const body of hubbleBodies(traffic.hubble.lines(), nowUs())) {
    const response = await fetch(`${demo.url}/api/v1/ingest/flows`, {
      method: 'POST', headers: { 'content-type': 'application/x-ndjson', 'content-encoding': 'gzip' }, body: new Uint8Array(body.gzip), signal,
    })
    if (!response.ok) throw new AppError('internal', `The service answered ${response.status}: ${await response.text()}`)
    sent += body.lines
    output.note(`      ${sent} lines sent`)
  }
}
