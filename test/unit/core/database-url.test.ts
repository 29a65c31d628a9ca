import { nameOfServer, type PostgresServer, readDatabaseUrl, withoutPassword } from '../../../src/core/database-url.ts'

const serverOf = (url: string): PostgresServer => {
  const read = readDatabaseUrl(url)
  if (read.kind !== 'postgresql') throw new Error(`${url} is ${read.kind}`)
  return read.server
}

test.each<[string, Partial<PostgresServer>]>([
  ['postgresql://keylime@db.example/verifier', { host: 'db.example', port: 5432, user: 'keylime', database: 'verifier', password: null }],
  ['postgres://db.example:6000/verifier', { host: 'db.example', port: 6000, user: null }],
  ['postgresql+psycopg2://u:p%40ss%3A@10.0.0.7/d', { host: '10.0.0.7', user: 'u' }],
  ['postgresql+psycopg://u@[2001:db8::1]:5433/d', { host: '2001:db8::1', port: 5433 }],
  ['postgresql://u@/d?host=/var/run/postgresql', { host: '/var/run/postgresql', database: 'd' }],
  ['postgresql:///d', { host: 'localhost', database: 'd' }],
  [
    'postgresql://h/d?port=5440&user=me&connect_timeout=9&passfile=/run/pgpass',
    { port: 5440, user: 'me', passfile: '/run/pgpass', connectTimeoutSeconds: 9 },
  ],
  ['postgresql://h?dbname=other', { database: 'other' }],
  ['postgresql://h/d%20b', { database: 'd b' }],
])('%s is read', (url, expected) => expect(serverOf(url)).toMatchObject(expected))

test.each([
  ['postgresql://u:p%40ss%3A@h/d', 'p@ss:'],
  ['postgresql://u@h/d?password=p%26q', 'p&q'],
])('%s has its password, and shows it to nobody', (url, password) => {
  const server = serverOf(url)
  expect(server.password?.reveal()).toBe(password)
  expect(JSON.stringify(server) + nameOfServer(server) + withoutPassword(url)).not.toMatch(/p%40ss|p@ss|p&q|p%26q/)
})

test.each([
  ['postgresql://u:open:sesame@h/d', 'postgresql://u:[secret]@h/d'],
  ['postgresql://u:open@sesame@h/d', 'postgresql://u:[secret]@h/d'],
  ['mysql://u:open/sesame@h/d', 'mysql://u:[secret]@h/d'],
  ['postgresql://u:open?sesame@h/d', 'postgresql://u:[secret]@h/d'],
  ['postgresql://u@h/d?password=open&sesame&sslmode=require', 'postgresql://u@h/d?password=[secret]&sslmode=require'],
  ['postgresql://u@h/d?sslmode=require&sslpassword=open-sesame', 'postgresql://u@h/d?sslmode=require&sslpassword=[secret]'],
  ['postgresql://u@h:5432/d?user=me@here', 'postgresql://u@h:5432/d?user=me@here'],
])('of %s nobody is shown the password, whether it can be read or not', (url, shown) => {
  expect(withoutPassword(url)).toBe(shown)
  let said = ''
  try {
    readDatabaseUrl(url)
  } catch (error) {
    said = (error as Error).message
  }
  expect(said).not.toMatch(/open|sesame/)
})

test.each([
  ['db.example', '', 'verify-full'], // another machine
  ['localhost', '', 'disable'],
  ['127.0.0.1', '', 'disable'],
  ['[::1]', '', 'disable'],
  ['', '?host=/run', 'disable'],
  ['127.0.0.1.example', '', 'verify-full'],
  ['db.example', '?sslmode=disable', 'disable'],
  ['db.example', '?sslmode=prefer', 'require'],
  ['db.example', '?sslmode=require', 'require'],
  ['db.example', '?sslmode=require&sslrootcert=/ca.pem', 'verify-ca'],
  ['db.example', '?sslmode=verify-ca&sslrootcert=/ca.pem', 'verify-ca'],
  ['localhost', '?sslmode=verify-full', 'verify-full'],
])('TLS to %s with "%s" is %s', (host, query, mode) => expect(serverOf(`postgresql://u@${host}/d${query}`).tls.mode).toBe(mode))

test.each([
  ['postgresql://h', 'it names no database'],
  ['postgresql://h/d?sslmode=maybe', 'sslmode=maybe is not one of'],
  ['postgresql://h/d?target_session_attrs=any', 'its parameter target_session_attrs is not known here'],
  ['postgresql://h/d?host=a,b', 'several hosts are not supported'],
  ['postgresql://a,b/d', 'several hosts are not supported'],
  ['postgresql://h:70000/d', 'the port must be a whole number'],
  ['postgresql://h/d?connect_timeout=soon', 'connect_timeout must be a whole number'],
  ['postgresql://h/%zz', 'is not followed by two hexadecimal digits'],
  ['mysql://u:secret@h/d', /^use "sqlite", .*DATABASE"$/],
  ['postgresql://u:se@cret@h/d', /^use "sqlite", .*; in names and passwords, write special characters as %40/],
])('%s is refused: %s', (url, why) => expect(() => readDatabaseUrl(url)).toThrow(why))

test('a server is named as an operator wrote it', () => {
  expect(nameOfServer(serverOf('postgresql+psycopg2://me:x@h/d'))).toBe('postgresql://me@h:5432/d')
  expect(nameOfServer(serverOf('postgresql://me@/d?host=/run/pg'))).toBe('postgresql://me@/d?host=/run/pg')
})
