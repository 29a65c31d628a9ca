import { createHash } from 'node:crypto'
import { computedKeyId, keyringText, LazyKeys, parseKeyring, readImaKey } from '../../../src/core/ima/keyring.ts'
import { spkiOf } from '../../../src/core/spki.ts'
import { imaVector } from '../../ima.ts'
import { machineFile } from '../../machines.ts'
import { demand, type Target } from '../target.ts'

const derOf = (pem: Buffer) => Buffer.from(pem.toString('latin1').replace(/-----[^-]+-----/g, ''), 'base64')

/** Keys for signed files, as a log shows them and as a policy holds them: a keyring that is written and read again has the same keys. */
export const imaKey: Target = {
  seeds: () => [
    ...['rsa2048pub.pem', 'secp256k1pub.pem'].flatMap((file) => [imaVector(file), derOf(imaVector(file))]),
    ...['ima-signing.pem', 'issuer.pem'].flatMap((file) => [machineFile('ca', file), derOf(machineFile('ca', file))]),
    Buffer.from(imaVector('keyring.txt').toString().trim().split(' ').at(-1)!, 'hex'),
  ],
  run(input) {
    const read = readImaKey(input)
    if (!read || read === 'unsupported') return
    const { id, key } = read
    demand(id >= 0 && id <= 0xffff_ffff, `the key id is ${id}`)
    const encoded =
      key.asymmetricKeyType === 'rsa'
        ? key.export({ type: 'pkcs1', format: 'der' })
        : spkiOf(key).subarray(-2 * coordinate(key.asymmetricKeyDetails!.namedCurve!) - 1)
    demand(
      key.asymmetricKeyType === 'ec' && encoded[0] !== 4
        ? true
        : computedKeyId(key) === createHash('sha1').update(encoded).digest().readUInt32BE(16),
      'the key id is wrong',
    )
    const again = parseKeyring(keyringText(new Map([[id || 1, key]])), 'keys')
    demand(spkiOf(again.get(id || 1)!).equals(spkiOf(key)), 'the keyring holds another key')
    const lazy = new LazyKeys(keyringText(again))
    demand(
      spkiOf(lazy.get(id || 1)!).equals(spkiOf(key)) && keyringText(lazy) === keyringText(again),
      'a keyring that is read later differs',
    )
  },
}

const coordinate = (curve: string) => ({ prime256v1: 32, secp256k1: 32, secp384r1: 48, secp521r1: 66 })[curve] ?? 0
