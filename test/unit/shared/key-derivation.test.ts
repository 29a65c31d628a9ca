import { pbkdf2, pbkdf2Sync } from 'node:crypto'
import { promisify } from 'node:util'

const derive = (password: string, salt: string) => pbkdf2Sync(password, salt, 1000, 32, 'sha256')

test('a key that is derived again is what OpenSSL derives, and nobody’s copy is changed by another who wipes his', async () => {
  const expected = await promisify(pbkdf2)('password', 'salt', 1000, 32, 'sha256')
  derive('password', 'salt').fill(0)
  expect(derive('password', 'salt')).toEqual(expected)
  expect(derive('password', 'salt2')).not.toEqual(expected)
  expect(derive('passwords', 'alt')).not.toEqual(expected)
  expect(pbkdf2Sync(Buffer.from('password'), Buffer.from('salt'), 1000, 32, 'sha256')).toEqual(expected)
})
