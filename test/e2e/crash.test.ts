import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../servers.ts'
import { Deployment, type Machine, unmount } from './deployment.ts'

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip

describeAsRoot('after kill -9', () => {
  const d = new Deployment()
  let machine: Machine
  const count = async () => (await d.status(machine)).attestation_count as number
  const runs = () => (fs.existsSync(path.join(machine.secure, 'runs')) ? fs.readFileSync(path.join(machine.secure, 'runs'), 'utf8') : '')

  beforeAll(async () => {
    await d.start()
    machine = await d.machine()
    d.payload({ 'autorun.sh': '#!/bin/sh\necho run >> ../runs\n', 'secret.txt': 'kept\n' })
    const { code, stderr } = await d.tenant('add', '-u', machine.id, '--cert', 'ca', '--include', 'payload')
    if (code !== 0) throw new Error(stderr)
    await until('the script', runs)
  })
  afterAll(() => d.stop())

  test('of the verifier, attestation goes on by itself and V is not sent again', async () => {
    for (let i = 0; i < 3; i++) {
      await d.verifier.kill('SIGKILL')
      await d.startVerifier()
      const before = await count()
      await until('attestation', async () => (await count()) > before)
    }
    expect(runs()).toBe('run\n')
  })

  test('of the agent, the machine is attested again, its secrets are kept and its script does not run twice', async () => {
    await machine.service.kill('SIGKILL')
    await sleep(300)
    await machine.start()
    const before = await count()
    await until('attestation', async () => (await count()) > before, 20)
    expect(fs.readFileSync(path.join(machine.secure, 'unzipped/secret.txt'), 'utf8')).toBe('kept\n')
    expect(runs()).toBe('run\n')
  })

  test('of both at once, everything is found again', async () => {
    await Promise.all([d.verifier.kill('SIGKILL'), machine.service.kill('SIGKILL')])
    await d.startVerifier()
    await machine.start()
    await until('attestation', async () => ['PASS'].includes((await d.status(machine)).attestation_status))
    expect(runs()).toBe('run\n')
  })

  test('after a reboot of the machine its secrets are gone, it is attested by itself, and another delivery brings them back', async () => {
    await machine.service.kill('SIGTERM')
    unmount(machine.secure)
    await machine.tpm.powerCycle()
    expect(fs.existsSync(path.join(machine.secure, 'unzipped'))).toBe(false)
    await machine.start()
    const before = await count()
    await until('attestation after the reboot', async () => (await count()) > before, 30)
    expect(fs.existsSync(path.join(machine.secure, 'unzipped'))).toBe(false)
    const { code, stderr } = await d.tenant('update', '-u', machine.id, '--cert', 'ca', '--include', 'payload')
    expect([code, stderr]).toEqual([0, expect.any(String)])
    await until('the script', runs)
    expect(runs()).toBe('run\n')
  })
})
