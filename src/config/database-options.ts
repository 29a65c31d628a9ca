import { readDatabaseUrl, withoutPassword } from '../core/database-url.ts'
import { type Option, option, type Parse, path } from './option.ts'

/** Where data are: SQLite, or PostgreSQL. */
const databaseUrl: Parse<string> = (value) => {
  readDatabaseUrl(value)
  return value
}

/** Upstream's `pool_size, max_overflow`. */
const poolSize: Parse<string> = (value) => {
  if (!/^\d{1,3}\s*,\s*\d{1,3}$/.test(value)) throw new Error('must be two numbers such as 5,10')
  return value
}

/** The options of a role that say where its database is. @param file of SQLite, in KEYLIME_DIR. */
export const databaseOptions = (file: string) =>
  ({
    database_url: option({
      parse: databaseUrl,
      default: 'sqlite',
      shown: withoutPassword,
      doc: `\`sqlite\` keeps ${file} in KEYLIME_DIR; \`sqlite:///PATH\` names another file; \`postgresql://USER@HOST:PORT/DATABASE\` is a PostgreSQL server, in the forms of SQLAlchemy and libpq. See the page about databases in the guide.`,
    }),
    database_password_file: option({
      parse: path,
      default: '',
      ours: true,
      doc: 'File that contains the password of the PostgreSQL user. It is read for each new connection. If it is empty, the password comes from database_url, or from the file that PGPASSFILE names (otherwise ~/.pgpass).',
    }),
    database_pool_sz_ovfl: option({
      parse: poolSize,
      default: '5,10',
      doc: 'Connections to PostgreSQL. The sum of the two numbers is the maximum, at least four. SQLite needs none.',
    }),
  }) satisfies Record<string, Option<string>>
