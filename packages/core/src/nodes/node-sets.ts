import type { StandardSchemaV1 } from '@standard-schema/spec'
import { defineCollection, type Collection } from '../collection/collection.ts'
import { isHeadwaterError } from '../errors/headwater-error.ts'
import { checkQuorums, type Quorums } from './quorum.ts'

/** The weights and quorums of one set of nodes, under its name. */
export interface NodeSet extends Quorums {
  readonly name: string
}

/** zod is the applications' choice, and this is the log's own. */
const schema: StandardSchemaV1<NodeSet, NodeSet> = {
  '~standard': {
    version: 1,
    vendor: 'headwater',
    validate(value) {
      const { name, weights, read, write } = Object(value) as Partial<NodeSet>
      if (typeof name !== 'string' || name === '') return { issues: [{ message: 'name must be a text.' }] }
      const given = {
        weights: Object(weights) as NodeSet['weights'],
        read: Number(read),
        write: Number(write),
      }
      try {
        checkQuorums(given)
      } catch (error) {
        if (isHeadwaterError(error)) return { issues: [{ message: error.message }] }
        throw error
      }
      return { value: { name, ...given } }
    },
  },
}

/**
 * Weights and quorums as changes in the log like any others: with versions, a history, and the expected version by which two
 * who change them at once do not both succeed. Give it to `connect` beside your own collections.
 */
export const nodeSets: Collection<NodeSet> = defineCollection('node-sets', {
  schema,
  key: ({ name }) => name,
})
