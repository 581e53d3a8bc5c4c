"""Consumes batches, has them scored by a workload, and publishes what it says, exactly once.

    consume ─▶ begin ─▶ workload.records(messages) ─▶ produce ─▶ offsets ─▶ commit
                                                             └── failed ─▶ abort ─▶ rewind, or the end (with state)

One transaction for each batch that was polled, so the batch grows with the backlog and is small, and quick, without
one. A rebalance can only happen inside `consume`, where no transaction is open.

A workload has `stateful` and `records(messages)`, which yields (key, value, headers). After an aborted transaction one
without state scores the batch again. State holds the batch already and is not rewound, so there the process ends.

Tuned: batches of up to 5,000, so that a commit is shared by many; `fetch.queue.backoff.ms`, which is 1,000 by default
and makes a quick reader wait for a second; lz4; no callback for each delivery, as the commit tells of all.
"""

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

BATCH = 5_000
POLL_SECONDS = 0.025
TRANSACTION_SECONDS = 30


class Service:
    def __init__(self, args, workload):
        self.workload = workload
        self.output = args.output
        self.consumer = Consumer(
            {
                "bootstrap.servers": args.brokers,
                "group.id": args.group,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.queue.backoff.ms": 10,
                "fetch.wait.max.ms": 50,
            }
        )
        self.producer = Producer(
            {
                "bootstrap.servers": args.brokers,
                "transactional.id": f"{args.group}-{args.instance}",
                "compression.type": "lz4",
                "linger.ms": 5,
                "batch.num.messages": 10_000,
                "delivery.report.only.error": True,
            }
        )
        # Also ends what a process of this name has left open, so that its offsets are known before they are asked for.
        self.producer.init_transactions()
        if workload.stateful:
            self.consumer.assign(self.share(args))
        else:
            self.consumer.subscribe([args.input])

    def share(self, args):
        """The partitions of this process. Without an offset they begin where the group has committed, or earliest."""
        topic = self.consumer.list_topics(args.input, TRANSACTION_SECONDS).topics[args.input]
        if topic.error:
            raise KafkaException(topic.error)
        return [TopicPartition(args.input, p) for p in topic.partitions if p % args.processes == args.instance]

    def run(self, going):
        while going():
            messages = self.consumer.consume(BATCH, POLL_SECONDS)
            errors = [message.error() for message in messages if message.error()]
            if errors:
                raise KafkaException(errors[0])
            if messages:
                self.transact(messages)

    def transact(self, messages):
        self.producer.begin_transaction()
        try:
            for key, value, headers in self.workload.records(messages):
                self.produce(key, value, headers)
            group = self.consumer.consumer_group_metadata()
            self.producer.send_offsets_to_transaction(next_offsets(messages), group, TRANSACTION_SECONDS)
            self.producer.commit_transaction(TRANSACTION_SECONDS)
        except KafkaException as failed:
            # A fenced producer must end; anything else is tried again from the offsets committed before.
            if not failed.args[0].txn_requires_abort():
                raise
            self.producer.abort_transaction(TRANSACTION_SECONDS)
            if self.workload.stateful:
                raise SystemExit(f"transaction aborted, and state is ahead of what is committed: {failed}") from failed
            self.rewind()

    def produce(self, key, value, headers):
        while True:
            try:
                return self.producer.produce(self.output, value, key, headers=headers)
            except BufferError:
                self.producer.poll(0.01)

    def rewind(self):
        assigned = self.consumer.assignment()
        for place in self.consumer.committed(assigned, TRANSACTION_SECONDS):
            if place.offset < 0:
                place.offset = self.consumer.get_watermark_offsets(place)[0]
            self.consumer.seek(place)

    def close(self):
        self.consumer.close()


def next_offsets(messages):
    last = {(message.topic(), message.partition()): message.offset() for message in messages}
    return [TopicPartition(topic, partition, offset + 1) for (topic, partition), offset in last.items()]
