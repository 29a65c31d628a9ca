import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { median, ms, printTable } from './table.ts'

const KEYLIME = path.resolve(import.meta.dirname, '../../bin/keylime')
const RUNS = 15

function wall(file: string, args: string[]): number {
  const times = Array.from({ length: RUNS }, () => {
    const start = performance.now()
    const { status, stderr } = spawnSync(file, args, { env: {}, encoding: 'utf8' })
    if (status !== 0) throw new Error(`${file} ${args.join(' ')} failed: ${stderr}`)
    return performance.now() - start
  })
  return median(times)
}

/** Start-up of the command line, against an empty Node. */
export function benchStart(): void {
  const bare = wall(process.execPath, ['-e', '0'])
  const rows = [['--version'], ['--help'], ['tenant', '--help'], ['verifier', '--help']].map((args) => {
    const time = wall(KEYLIME, args)
    return [`keylime ${args.join(' ')}`, ms(time), (time / bare).toFixed(2)]
  })
  printTable('start-up', ['command', 'ms', 'ratio to node -e 0'], [['node -e 0', ms(bare), '1.00'], ...rows])
}
