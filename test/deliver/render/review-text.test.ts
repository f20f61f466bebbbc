import { expect, test } from '@jest/globals'
import { renderReview } from '../../../src/deliver/render/review-text.ts'
import { classEnd, edge, pod } from '../../support/observed-edges.ts'
import { recommendFrom } from '../../support/recommend.ts'

const web = pod('shop/web', { app: 'web' })
const db = pod('shop/db', { app: 'db' })
const document = recommendFrom([edge(web, db, '5432/TCP'), edge(web, classEnd('kube-apiserver'), '6443/TCP'), edge(db, classEnd('kube-apiserver'), '6443/TCP')])

test('a reason is told once, followed by everything that waits for it; connections come first', () => {
  expect(renderReview(document.review)).toBe(`  needs-apiserver-cidr (2): The peer is the Kubernetes API server; a policy needs its address range
    and port. Until then the policies deny this traffic.
  CONNECTION                                          PORT
  shop/db (Deployment) -> Kubernetes API server   6443/TCP
  shop/web (Deployment) -> Kubernetes API server  6443/TCP

  no-evidence (2): No traffic that a rule can be made of was seen in this direction. Silence is no
    proof that nothing is needed, so the direction stays open and the namespace's default-deny for
    it is withheld.
  WORKLOAD
  shop/db (Deployment), egress
  shop/web (Deployment), ingress
`)
})

test('a limit holds for each reason and counts the rest', () => {
  expect(renderReview(document.review, 1).match(/… and 1 more/g)).toHaveLength(2)
  expect(renderReview([])).toBe('  nothing was held back\n')
})
