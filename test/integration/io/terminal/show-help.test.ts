import { spawn } from 'node:child_process'
import path from 'node:path'
import { PROGRAM } from '../../../program.ts'

const node = `${process.execPath} --disable-warning=ExperimentalWarning`
const ours = `${node} ${PROGRAM} tenant --help`
const help = `${node} ${path.join(import.meta.dirname, 'long-help.ts')}`

/** What a command shows on a terminal of so many rows. */
function shown(rows: number, pager: string, command = help): Promise<string> {
  const child = spawn('script', ['-qefc', `stty rows ${rows} cols 100; ${command}`, '/dev/null'], {
    env: { ...process.env, TERM: 'xterm', PAGER: pager },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout.on('data', (chunk) => (text += chunk))
  return new Promise((resolve) => child.on('close', () => resolve(text)))
}

const MARK = 'sed -e s/^/paged:/'

test('help that is longer than the terminal is shown by the pager', async () => {
  for (const command of [ours, help]) expect(await shown(20, MARK, command)).toMatch(/^paged:Enrols machines[\s\S]*paged:.*--json/)
})

test.each([
  ['on a terminal that it fits on', 500, MARK, help],
  ['in a pipe', 20, MARK, `${help} | cat`],
  ['when the pager cannot be started', 20, '/nonexistent/pager', help],
  ['without a pager', 20, '', help],
])('help is shown as it is %s', async (_, rows, pager, command) => {
  const text = await shown(rows, pager, command)
  expect(text).toContain('Enrols machines')
  expect(text).not.toContain('paged:')
})

test('a pager that is left before the end is no failure', async () => {
  expect(await shown(20, 'head -n 1', `${ours}; echo "status $?"`)).toMatch(/Enrols machines.*\r?\nstatus 0/)
})
