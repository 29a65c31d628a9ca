import v8 from 'node:v8'
import vm from 'node:vm'
import { nativeAddon } from '../native/native-addon.ts'

/** V8 sweeps and gives back pages in threads of its own, for which it reads the executable once more. */
const SWEPT_MS = 15_000

/**
 * Gives back what only the start of a role needed, which is half of its memory: its garbage, for which V8 would wait until there is more; then what the C library
 * keeps of freed memory, and pages of the executable that were read once. @param mayPause a collection stops everything for a tenth of a second.
 */
export function giveBack(mayPause: boolean): void {
  if (mayPause) collectGarbage()
  setTimeout(() => {
    nativeAddon().returnFreedMemory()
    nativeAddon().forgetReadPages()
  }, SWEPT_MS).unref()
}

/** Node gives `gc` only to those that ask for it on its command line, or in a context that is made after the flag was set. */
function collectGarbage(): void {
  v8.setFlagsFromString('--expose-gc')
  const collect = vm.runInNewContext('gc') as () => void
  v8.setFlagsFromString('--no-expose-gc')
  collect()
}
