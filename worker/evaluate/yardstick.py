import time


def turn(n):
    found, total, few = {}, 0, list(range(64))
    for i in range(n):
        x = few[i & 63] ^ i
        total += x * x % 7
        found[x & 255] = total
        if total & 1:
            total -= i
    return total


def measure(rounds, turns, clock=time.thread_time_ns):
    took = []
    for _ in range(rounds):
        began = clock()
        turn(turns)
        took.append(clock() - began)
    print(*took)


measure(*map(int, input().split()))
