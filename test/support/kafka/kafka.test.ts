import { expect, test } from '@jest/globals'
import { describeKafka, kafkaBroker, topicName } from './kafka.ts'

describeKafka('the Kafka broker of the tests', () => {
  test('keeps messages', async () => {
    const { topics } = await kafkaBroker()
    const topic = topicName()
    await topics.create(topic, { partitions: 2 })
    expect(await topics.produce(topic, ['a', 'b'], { partition: 1 })).toBe(0)
    expect(await topics.produce(topic, ['c'], { partition: 1 })).toBe(2)
    expect(await topics.admin.fetchTopicOffsets(topic)).toEqual(expect.arrayContaining([expect.objectContaining({ partition: 1, offset: '3' })]))
  })
})
