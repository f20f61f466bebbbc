import { spawn } from 'node:child_process'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from '@jest/globals'
import { spawnJava } from './broker-process.ts'

test('a broker is gone, with its data, soon after the process that owns it was killed, even a paused one', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'flowfence-watchdog-'))
  const owner = spawn('sleep', ['600'])
  // Stands for Java: what matters is that the process would live on.
  const runtime = { kind: 'java', version: '', checkpoint: '', java: 'sh', options: ['-c', 'exec sleep 600'] } as const
  try {
    const broker = await spawnJava(runtime, { folder, ownerPid: owner.pid ?? 0, removedFolder: folder })
    await broker.pause()
    await sleep(1500)
    expect(await broker.hasExited()).toBe(false)
    owner.kill('SIGKILL')
    while (!(await broker.hasExited())) await sleep(50)
    while (await stat(folder).then(() => true, () => false)) await sleep(50)
  } finally {
    owner.kill('SIGKILL')
    await rm(folder, { recursive: true, force: true })
  }
})
