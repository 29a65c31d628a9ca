import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { runs } from '../../../thorough.ts'

test('a thread that is ended in the middle of a call of the addon takes nobody with it', () => {
  const script = path.join(import.meta.dirname, 'end-workers.mjs')
  const addon = path.resolve(import.meta.dirname, '../../../../dist/keylime_native.node')
  const { status, signal, stderr } = spawnSync(process.execPath, [script, addon, String(runs(60, 20))], { encoding: 'utf8' })
  expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' })
})
