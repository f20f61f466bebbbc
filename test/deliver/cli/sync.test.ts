import { join } from 'node:path'
import { writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { createEmptyDatabase } from '../../support/database.ts'
import { KubeApiServer } from '../../support/kube-api-server.ts'
import type { KubeObject } from '../../support/kube-api-server.ts'
import { makeFolder, runCli, startCli } from '../../support/run-cli.ts'

const server = new KubeApiServer()
let cwd = ''
let remove = (): Promise<void> => Promise.resolve()
let env: Record<string, string> = {}
const run = (args: readonly string[], stdin?: string) => runCli(args, { cwd, env, ...(stdin === undefined ? {} : { stdin }) })
const ago = (seconds: number): string => new Date(Date.now() - seconds * 1000).toISOString()

function pod(app: string, ip: string, createdAgoSeconds: number): KubeObject {
  const name = `${app}-7d4b9c6f58-x2k9p`
  return {
    kind: 'Pod',
    metadata: {
      name, namespace: 'shop', uid: `uid-${app}`, labels: { app, 'pod-template-hash': '7d4b9c6f58' }, creationTimestamp: ago(createdAgoSeconds),
      annotations: { note: 'a-private-note' }, ownerReferences: [{ kind: 'ReplicaSet', name: `${app}-7d4b9c6f58`, controller: true }],
    },
    spec: { nodeName: 'node-1', containers: [{ name: app, env: [{ name: 'PASSWORD', value: 'a-private-word' }], ports: [{ containerPort: 5432 }] }] },
    status: {
      phase: 'Running', podIP: ip, podIPs: [{ ip }], startTime: ago(createdAgoSeconds),
      containerStatuses: [{ name: app, restartCount: 0, state: { running: { startedAt: ago(createdAgoSeconds) } } }],
    },
  }
}

function awsLine(from: string, to: string, secondsAgo: number, sourcePort = 40_000): string {
  return `${JSON.stringify({
    level: 'debug', ts: ago(secondsAgo), caller: 'runtime/asm_amd64.s:1700',
    msg: `Flow Info: Src IP: ${from} Src Port: ${sourcePort} Dest IP: ${to} Dest Port: 5432 Proto TCP Verdict ACCEPT Direction egress`,
  })}\n`
}

beforeAll(async () => {
  await server.start()
  const folder = await makeFolder()
  cwd = folder.path
  remove = folder.remove
  env = { DATABASE_URL: (await createEmptyDatabase()).connectionString, FLOWFENCE_CLUSTER: 'prod', KUBECONFIG: server.writeKubeconfig(join(cwd, 'kubeconfig')) }
  server.set({ kind: 'Namespace', metadata: { name: 'shop', creationTimestamp: ago(86_400), labels: { team: 'shop' } } })
  server.set({ kind: 'Node', metadata: { name: 'node-1', uid: 'n1', creationTimestamp: ago(86_400) }, status: { addresses: [{ type: 'InternalIP', address: '192.168.1.1' }] } })
  server.set(pod('web', '10.0.1.10', 3600))
  server.set(pod('db', '10.0.2.20', 3600))
})

afterAll(async () => {
  await server.stop()
  await remove()
})

describe('flowfence sync, then flows that name nothing but addresses', () => {
  test('sync --once stores the state and says what it is', async () => {
    const { code, stdout, stderr } = await run(['sync', '--once'])
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' })
    expect(stderr).toMatch(/State of .*: Namespace 1, Node 1, Pod 2\. 4 new, 0 changed, 0 gone\./)
    expect([...server.methods]).toEqual(['GET'])
  })

  test('flows of a covered moment get the pods of that moment, labels and owners', async () => {
    const { code, stdout } = await run(['ingest', '-'], awsLine('10.0.1.10', '10.0.2.20', 60))
    expect(code).toBe(0)
    expect(stdout).toMatch(/1 stored/)
    const yaml = (await run(['recommend', '-o', 'yaml'])).stdout
    expect(yaml).toContain('name: web-deployment')
    expect(yaml).toMatch(/podSelector:\n\s+matchLabels:\n\s+app: db/)
    expect(yaml).not.toContain('10.0.')
  })

  test('a flow from before the pod was created is nobody that is known', async () => {
    await run(['ingest', '-'], awsLine('10.0.1.10', '10.0.2.20', 7200, 41_000))
    const { review } = JSON.parse((await run(['recommend', '-o', 'json'])).stdout) as { review: { edge?: { from: { kind: string }; to: { kind: string } }; reason: { code: string } }[] }
    expect(review.flatMap(({ edge, reason }) => (edge === undefined ? [] : [`${reason.code} ${edge.from.kind} ${edge.to.kind}`]))).toEqual(['unknown-workload unknown unknown'])
  })

  test('a watch follows changes until Ctrl-C', async () => {
    const sync = startCli(['sync'], { cwd, env })
    await sync.waitForStderr('State of')
    const startedAt = Date.now()
    while (server.watching < 12 && Date.now() - startedAt < 20_000) await new Promise((done) => setTimeout(done, 20))
    server.set(pod('cache', '10.0.3.30', 5))
    server.delete('Pod', 'shop', 'web-7d4b9c6f58-x2k9p')
    const bookmarks = setInterval(() => server.bookmark(), 200)
    await new Promise((done) => setTimeout(done, 8000))
    clearInterval(bookmarks)
    sync.kill('SIGINT')
    const ended = await sync.result
    expect({ code: ended.code, stderr: ended.stderr.split('\n').slice(1) }).toEqual({
      code: 0, stderr: ['Stopping; press Ctrl-C again to stop at once.', 'Stopped. The state stored so far stays; it counts up to the last confirmation.', ''],
    })
    // What was private to the objects never reached the database.
    const dump = await run(['recommend', '-o', 'json'])
    expect(dump.stdout).not.toMatch(/a-private/)
  })

  test('wrong credentials and a missing right end it with exit code 1 and the next step', async () => {
    const kubeconfig = server.writeKubeconfig(join(cwd, 'wrong'), 'not-the-token')
    const wrong = await run(['sync', '--once', '--kubeconfig', kubeconfig])
    expect(wrong).toMatchObject({ code: 1, stdout: '' })
    expect(wrong.stderr).toMatch(/answered 401.*Log in again/)
    expect(wrong.stderr).not.toContain('not-the-token')
    server.refusals.set('/api/v1/pods', 403)
    expect((await run(['sync', '--once'])).stderr).toMatch(/Grant the verbs get, list and watch on pods.*docs\/sync\.md/)
    server.refusals.clear()
    await writeFile(join(cwd, 'broken'), ': :')
    expect(await run(['sync', '--once', '--kubeconfig', 'broken'])).toMatchObject({ code: 2, stdout: '' })
  })
})
