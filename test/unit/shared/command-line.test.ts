import os from 'node:os'
import { inThisProcess, keylimeProcess } from '../../command-line.ts'

const PLACE = { cwd: os.tmpdir(), env: { PATH: process.env['PATH'], KEYLIME_VERIFIER_QUOTE_INTERVAL: '7', KEYLIME_DIR: '/nowhere' } }

test.each([
  ['a result', ['config', 'diff', 'verifier', '--json']],
  ['a refusal', ['config', 'set', 'verifier', 'nonsense', '1', '--config', 'none.conf']],
])('%s is the same in the process of the test and in one of its own', async (_, args) => {
  const { argv, env, stdout, stderr, title } = process
  const directory = process.cwd()
  const ran = await inThisProcess(args, PLACE)
  expect(ran).toEqual(keylimeProcess(args, PLACE))
  expect([process.stdout === stdout, process.stderr === stderr, process.env === env, process.argv === argv]).toEqual([
    true,
    true,
    true,
    true,
  ])
  expect([process.title, process.cwd(), process.exitCode]).toEqual([title, directory, undefined])
})

test('each run begins anew: neither words, status nor output of the one before are left', async () => {
  const version = await inThisProcess(['--version'])
  expect(await inThisProcess(['config', 'nonsense'])).toMatchObject({ status: 2, stdout: '', stderr: expect.stringContaining('nonsense') })
  expect(await inThisProcess(['--version'])).toEqual(version)
  expect(version).toEqual({ status: 0, stdout: expect.stringMatching(/^keylime /), stderr: '' })
})
