import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'

/** GnuPG with keys of its own, which end with it. */
export class ThrowAwayGpg {
  readonly #home = fs.mkdtempSync(path.join(os.tmpdir(), 'klgpg-'))

  #gpg(args: string[], input: string | Buffer = ''): Buffer {
    const options = ['--batch', '--yes', '--quiet', '--no-tty', '--pinentry-mode', 'loopback', '--passphrase', '']
    return execFileSync('gpg', [...options, ...args], {
      input,
      env: { ...process.env, GNUPGHOME: this.#home },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
  }

  /** @param at the time at which it is made, and valid for one day: `20200101T000000`; without it the key is good for ever. */
  makeKey(name: string, at?: string): void {
    this.#gpg([...(at ? ['--faked-system-time', at] : []), '--quick-generate-key', name, 'ed25519', 'sign', at ? '1d' : 'never'])
  }

  publicKey(name: string, form: 'binary' | 'armor' = 'binary'): Buffer {
    return this.#gpg([...(form === 'armor' ? ['--armor'] : []), '--export', name])
  }

  detached(name: string, data: string | Buffer, options: string[] = []): Buffer {
    return this.#gpg([...options, '--local-user', name, '--detach-sign'], data)
  }

  /** As in `InRelease`. */
  clearSigned(name: string, data: string): Buffer {
    return this.#gpg(['--local-user', name, '--clear-sign'], data)
  }

  revoke(name: string): void {
    const [fingerprint] = /^fpr:+([0-9A-F]{40}):/m.exec(this.#gpg(['--list-keys', '--with-colons', name]).toString())!.slice(1)
    const file = path.join(this.#home, 'openpgp-revocs.d', `${fingerprint}.rev`)
    this.#gpg(['--import'], fs.readFileSync(file, 'utf8').replace(/^:(-----BEGIN)/m, '$1'))
  }

  remove(): void {
    execFileSync('gpgconf', ['--kill', 'all'], { env: { ...process.env, GNUPGHOME: this.#home } })
    fs.rmSync(this.#home, { recursive: true, force: true })
  }
}
