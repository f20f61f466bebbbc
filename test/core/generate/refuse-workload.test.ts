import { describe, expect, test } from '@jest/globals'
import { edge, pod } from '../../support/observed-edges.ts'
import { recommendFrom, reviewOf, specsOf } from '../../support/recommend.ts'

const web = pod('shop/web', { app: 'web' })
const db = pod('shop/db', { app: 'db' })

describe('a namespace that Kubernetes would refuse', () => {
  test.each([['64 characters', 'a'.repeat(64)], ['spaces and upper case', 'Not A Namespace'], ['an underscore', 'shop_2'], ['nothing', '']])('%s: refused, the rest stays', (_name, namespace) => {
    const stranger = pod(`${namespace}/x`, { app: 'x' })
    const document = recommendFrom([edge(web, db, '5432/TCP'), edge(stranger, db, '80/TCP'), edge(web, stranger, '81/TCP')])
    expect(document.refused).toMatchObject([{ workload: `${namespace}/x (Deployment)`, reason: { code: 'invalid-namespace' } }])
    expect(document.refused[0]?.reason.text).toContain('not a name Kubernetes accepts')
    expect(reviewOf(document).filter((r) => r.startsWith('invalid'))).toEqual(['invalid-namespace web->x:81', 'invalid-namespace x->db:80'])
    expect(specsOf(document)).toEqual(specsOf(recommendFrom([edge(web, db, '5432/TCP')])))
  })
})

test('pods whose labels fit two workloads get no policy and are told apart by name', () => {
  const unknown = pod('shop/', { app: 'web' }, 'intersection')
  const document = recommendFrom([edge(pod('shop/front', { app: 'web', tier: 'front' }), db, '5432/TCP'), edge(pod('shop/admin', { app: 'web', tier: 'admin' }), db, '5432/TCP'), edge(unknown, db, '80/TCP')])
  expect(document.refused).toMatchObject([{ workload: 'shop/{app=web}', reason: { code: 'not-selectable' } }])
  expect(document.refused[0]?.reason.text).toContain('may be of shop/admin (Deployment), shop/front (Deployment); nobody knows which')
  expect(Object.keys(specsOf(document))).toEqual(['shop/admin-deployment', 'shop/db-deployment', 'shop/front-deployment'])
})
