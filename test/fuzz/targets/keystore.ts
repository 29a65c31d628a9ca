import { openKeystore } from '../../../src/core/keystore/keystore.ts'
import { demand, type Target, text, unlessRefused } from '../target.ts'

/** The authority's key store: without the password nothing of it is opened, whatever its YAML is. */
export const keystore: Target = {
  seeds: () => [
    text('priv: !!binary |', '  QUFBQUFBQUFBQUFBQUFBQQ==', 'salt: c2FsdA=='),
    text('{priv: x, salt: [1, 2]}'),
    text('a: &a [1]', 'b: *a', '<<: *a', '? [c]', ': 0o17'),
    text('salt: !!timestamp 2026-01-01', 'priv: !!set {a, b}', '--- |', ' x'),
  ],
  words: ['!!binary', 'priv: ', 'salt: ', '&a ', '*a', '<<: ', '!!set', '!!omap', '? ', '|', '---'],
  isTimed: false, // the library for YAML takes time quadratic in a text of nothing but unknown tags; the store is the authority's own file
  run(input) {
    // a salt beside bytes leads to 100,000 rounds of a derivation, which has nothing to read
    const source = input.toString('utf8').replaceAll('!!binary', '!!str')
    demand(
      unlessRefused(['malformed', 'wrong_password'], () => openKeystore(source, 'wrong')) === null,
      'it is opened without the password',
    )
  },
}
