import type { KeyObject } from 'node:crypto'
import { type ImaEntry, parseEntry } from '../../../src/core/ima/entry.ts'
import { isWellFormed, signatureDefect, verifyFileSignature } from '../../../src/core/ima/file-signature.ts'
import { type KeyLookup, readImaKey } from '../../../src/core/ima/keyring.ts'
import { verifyDigest } from '../../../src/core/ima/verify-digest.ts'
import { nativeVerifyDigest } from '../../../src/io/native/verify-digest.ts'
import { imaVector } from '../../ima.ts'
import { demand, type Target } from '../target.ts'

let ring: Map<number, KeyObject> | undefined
let entries: readonly ImaEntry[] | undefined

/** Signatures of files: OpenSSL by the native addon and the check in TypeScript agree, and only what the keys' owners made is good. */
export const fileSignature: Target = {
  seeds: () => vectorEntries().map(({ extra }) => extra),
  maxBytes: 600,
  run(input) {
    for (const entry of vectorEntries()) {
      const signed = { ...entry, extra: input }
      const verdicts = [verifyDigest, nativeVerifyDigest].map((verify) => verifyFileSignature(signed, [keys()], verify))
      demand(verdicts[0] === verdicts[1], () => `the native addon says ${verdicts[1]}, TypeScript ${verdicts[0]}`)
      if (verdicts[0]) demand(isWellFormed(input) && input.subarray(9).equals(entry.extra.subarray(9)), 'a forged signature is good')
      signatureDefect(signed, [keys()])
    }
  },
}

/** One signature by RSA, one by ECDSA. */
function vectorEntries(): readonly ImaEntry[] {
  entries ??= imaVector('signatures.txt').toString().trim().split('\n').map(parseEntry)
  return entries
}

function keys(): KeyLookup {
  ring ??= new Map(
    ['rsa2048pub.pem', 'secp256k1pub.pem'].map((file) => {
      const key = readImaKey(Buffer.from(imaVector(file)))
      if (key === null || key === 'unsupported') throw new Error(`${file} is no key`)
      return [key.id, key.key]
    }),
  )
  return ring
}
