import { isCrlSignedBy, parseCrl } from '../../../src/core/pki/crl.ts'
import { demand, type Target, unlessRefused } from '../target.ts'
import { authority, CRL, CRL_VERSION_1 } from './authority.ts'

/** Revocation lists: those that are read hold whole entries, and no change of a signed one is signed by its authority. */
export const crl: Target = {
  seeds: () => [CRL, CRL_VERSION_1],
  run(input) {
    const list = unlessRefused(['malformed'], () => parseCrl(input))
    if (!list) return
    demand(
      list.revoked.every(({ serial, date }) => typeof serial === 'bigint' && Number.isFinite(date)),
      'an entry has no date',
    )
    const signed = unlessRefused(['malformed'], () => isCrlSignedBy(input, authority()))
    if (signed) demand(JSON.stringify(list.revoked, printed) === JSON.stringify(parseCrl(CRL).revoked, printed), 'a forged list is signed')
  },
}

const printed = (_name: string, value: unknown) => (typeof value === 'bigint' ? String(value) : value)
