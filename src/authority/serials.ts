import { randomBytes } from 'node:crypto'

/** Below it serials are counted: by upstream's program, and by this one in earlier versions. From it on they are random. */
const FIRST_RANDOM = 2n ** 52n
/** The last one that is exact as a number of JSON. */
const LAST_RANDOM = 2n ** 53n - 1n

/** Whether a serial may be one that this authority gave at random, here or where a copy of its directory is. */
export const isRandomSerial = (serial: bigint): boolean => serial >= FIRST_RANDOM && serial <= LAST_RANDOM

/** Upstream goes on from the highest of these. What is neither counted nor random was given by another program that had the key. */
export const isCountedSerial = (serial: bigint): boolean => serial < FIRST_RANDOM

/** A new serial of 16 digits. Copies of a directory do not know of each other, and give the same one with a chance of 1 in 2^52. @param isTaken says which ones are in use. */
export function randomSerial(isTaken: (serial: bigint) => boolean): bigint {
  for (;;) {
    const serial = FIRST_RANDOM + (randomBytes(8).readBigUInt64BE() >> 12n)
    if (!isTaken(serial)) return serial
  }
}
