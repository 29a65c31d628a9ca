import { rsaKeyPair } from '../../rsa-keys.ts'

const modulusOf = ({ publicKey }: ReturnType<typeof rsaKeyPair>) => publicKey.export({ format: 'jwk' }).n
const inFile = <T>(testPath: string, take: () => T): T => {
  const before = expect.getState().testPath
  expect.setState({ testPath })
  try {
    return take()
  } finally {
    expect.setState({ testPath: before })
  }
}

test('each test file has all the ready-made keys, however many the files before it took; no two of a file are alike', () => {
  const first = inFile('/one', () => [rsaKeyPair(), rsaKeyPair(), rsaKeyPair(3072)].map(modulusOf))
  expect(new Set(first).size).toBe(3)
  expect(inFile('/another', () => [rsaKeyPair(), rsaKeyPair(), rsaKeyPair(3072)].map(modulusOf))).toEqual(first)
})

test('of a size without ready-made ones, new ones are made', () => {
  const all = Array.from({ length: 2 }, () => modulusOf(rsaKeyPair(1024)))
  expect(new Set(all).size).toBe(2)
})
