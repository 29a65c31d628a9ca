import { hash as hashOf } from 'node:crypto'
import { digestSize, type HashName } from '../tpm/algorithms.ts'

/** A PCR while a log is replayed: running := H(running ‖ H(template data)); a violation extends ones (policies A.4, A.5). */
export interface PcrReplay {
  /** Extends by template data, if `column` is their hash by the log's algorithm, lower-case hex. @returns null when it is not; else as `extend`. */
  extendIf(data: Buffer, column: string): boolean | null
  /** Extends by template data, whatever the log says of their hash; null is a violation. @returns whether the PCR has the quoted value now. */
  extend(data: Buffer | null): boolean
  value(): Buffer
}

export interface ReplayStart {
  /** Algorithm of the template hash column. */
  logHash: HashName
  /** Algorithm of the PCR. */
  bank: HashName
  start: Buffer
  quoted: Buffer
}

/** There are two: this one, which runs everywhere, and that of the native addon, which halves the time. */
export type MakePcrReplay = (start: ReplayStart) => PcrReplay

export const pcrReplay: MakePcrReplay = ({ logHash, bank, start, quoted }) => {
  const size = digestSize(bank)
  const step = Buffer.alloc(2 * size)
  const wanted = quoted.toString('latin1')
  let running = start.toString('latin1') // a character a byte: cheaper to make and to compare than a Buffer
  const close = () => {
    step.write(running, 0, 'latin1')
    running = hashOf(bank, step, 'binary')
    return running === wanted
  }
  const extend = (data: Buffer | null) => {
    if (data) step.write(hashOf(bank, data, 'binary'), size, 'latin1')
    else step.fill(0xff, size)
    return close()
  }
  return {
    extendIf: (data, column) => (hashOf(logHash, data, 'hex') === column ? extend(data) : null),
    extend,
    value: () => Buffer.from(running, 'latin1'),
  }
}
