import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { openResumeFile } from '../../../../../src/roles/tenant/fleet/resume-file.ts'
import type { TenantOptions } from '../../../../../src/roles/tenant/tenant-options.ts'

const options = (changes: Partial<TenantOptions> = {}): TenantOptions => ({
  command: 'update',
  file: 's',
  wait: true,
  timeoutSeconds: 60,
  ...changes,
})
let dir: string
let file: string
beforeEach(() => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-resume-'))
  file = path.join(dir, 'done')
})
afterEach(() => fs.rmSync(dir, { recursive: true, force: true }))

test('what was done is known to the next run of the same command, whichever machines and time-outs it names', async () => {
  const first = await openResumeFile(file, options())
  expect(first.isDone('a')).toBe(false)
  await first.done('a')
  const second = await openResumeFile(file, options({ timeoutSeconds: 5, yes: true, agentId: 'b' }))
  expect([second.isDone('a'), second.isDone('b')]).toEqual([true, false])
})

test.each<[string, Partial<TenantOptions>]>([
  ['another file to deliver', { file: 't' }],
  ['another word', { command: 'add' }],
  ['a policy', { runtimePolicyName: 'p' }],
])('with %s the file is refused', async (_what, changes) => {
  await openResumeFile(file, options())
  await expect(openResumeFile(file, options(changes))).rejects.toMatchObject({ code: 'usage' })
})

test('a line that was cut off does not count, and neither spoils the next one', async () => {
  const first = await openResumeFile(file, options())
  await first.done('whole')
  fs.appendFileSync(file, 'cut-o')
  const second = await openResumeFile(file, options())
  expect([second.isDone('whole'), second.isDone('cut-o')]).toEqual([true, false])
  await second.done('next')
  const third = await openResumeFile(file, options())
  expect(['whole', 'next'].map((name) => third.isDone(name))).toEqual([true, true])
})

test('a file of something else is left alone', async () => {
  fs.writeFileSync(file, 'my notes\n')
  await expect(openResumeFile(file, options())).rejects.toMatchObject({
    code: 'usage',
    message: expect.stringContaining('is not a file that'),
  })
  expect(fs.readFileSync(file, 'utf8')).toBe('my notes\n')
})
