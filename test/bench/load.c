/*
 * The load of the benchmark bed, in C so that it never is the bottleneck. Compiled into a temporary folder when the
 * benchmark runs.
 *
 *   load send DEVICE DSTMAC FLOWS SECONDS [PPS]  60-byte UDP frames as fast as AF_PACKET takes them (sendmmsg, queueing
 *                                            discipline bypassed), or PPS a second; FLOWS flows, told apart by source and
 *                                            destination port
 *   load serve PORTS                         TCP servers from port 7000 on: reads a length (u32) and so many bytes, sends as
 *                                            many back, once a connection
 *   load transfer ADDRESS PORTS BYTES SECONDS  such connections one after the other
 *   load sink PORT                           a UDP collector that never reads: its queue fills and the kernel drops
 *
 * Prints the number of frames sent, or of transfers a second. Exit 1 with a message on stderr.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define FRAME 60
#define IP 14
#define UDP 34

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static uint16_t ip_checksum(const uint8_t *header)
{
	uint32_t sum = 0;
	for (int n = 0; n < 20; n += 2)
		sum += header[n] << 8 | header[n + 1];
	sum = (sum >> 16) + (sum & 0xffff);
	return ~(sum + (sum >> 16));
}

static void fill(uint8_t *frame, const uint8_t *dst, const uint8_t *src)
{
	/* IPv4, 46 bytes, DF, TTL 64, UDP, 10.0.0.1 to 10.0.0.2; a UDP checksum of 0 is none (RFC 768). */
	static const uint8_t ip[20] = { 0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2 };
	memset(frame, 0, FRAME);
	memcpy(frame, dst, 6);
	memcpy(frame + 6, src, 6);
	frame[12] = 0x08;
	memcpy(frame + IP, ip, sizeof ip);
	uint16_t sum = ip_checksum(frame + IP);
	frame[IP + 10] = sum >> 8;
	frame[IP + 11] = sum;
	frame[UDP + 5] = 26;
}

static int send_frames(const char *device, const char *mac, unsigned flows, double seconds, double pps)
{
	uint8_t dst[6];
	if (sscanf(mac, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", dst, dst + 1, dst + 2, dst + 3, dst + 4, dst + 5) != 6) {
		fprintf(stderr, "load: %s is not a MAC address\n", mac);
		return 1;
	}
	int fd = socket(AF_PACKET, SOCK_RAW, 0);
	if (fd < 0)
		die("packet socket");
	struct ifreq request = { 0 };
	strncpy(request.ifr_name, device, IFNAMSIZ - 1);
	if (ioctl(fd, SIOCGIFHWADDR, &request) < 0)
		die(device);
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(device) };
	int one = 1;
	if (bind(fd, (struct sockaddr *)&to, sizeof to) < 0)
		die("bind");
	if (setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one) < 0)
		die("PACKET_QDISC_BYPASS");

	static uint8_t frames[BATCH][FRAME];
	static struct iovec vectors[BATCH];
	static struct mmsghdr messages[BATCH];
	for (int n = 0; n < BATCH; n++) {
		fill(frames[n], dst, (uint8_t *)request.ifr_hwaddr.sa_data);
		vectors[n] = (struct iovec){ frames[n], FRAME };
		messages[n].msg_hdr = (struct msghdr){ .msg_iov = &vectors[n], .msg_iovlen = 1 };
	}
	uint64_t sent = 0;
	unsigned flow = 0;
	/* A paced sender wakes a thousand times a second at most. */
	int batch = pps == 0 || pps > 1000 * BATCH ? BATCH : pps < 1000 ? 1 : pps / 1000;
	double start = now();
	for (double end = start + seconds; now() < end;) {
		double ahead = pps == 0 ? 0 : sent / pps - (now() - start);
		if (ahead > 0) {
			usleep(ahead * 1e6);
			continue;
		}
		for (int n = 0; n < batch; n++) {
			unsigned from = 1024 + flow % 60000, into = 5000 + flow / 60000;
			frames[n][UDP] = from >> 8;
			frames[n][UDP + 1] = from;
			frames[n][UDP + 2] = into >> 8;
			frames[n][UDP + 3] = into;
			if (++flow >= flows)
				flow = 0;
		}
		int done = sendmmsg(fd, messages, batch, 0);
		if (done < 0 && errno != ENOBUFS && errno != EAGAIN)
			die("sendmmsg");
		if (done > 0)
			sent += done;
	}
	printf("%llu\n", (unsigned long long)sent);
	return 0;
}

#define FIRST_PORT 7000
#define MOST (1 << 20)

static uint8_t content[MOST];

/* Exactly so many bytes in (or out); 0 where the other end went away. */
static int move_all(int fd, void *data, size_t bytes, int out)
{
	for (size_t done = 0; done < bytes;) {
		ssize_t n = out ? send(fd, (char *)data + done, bytes - done, MSG_NOSIGNAL) : recv(fd, (char *)data + done, bytes - done, 0);
		if (n <= 0)
			return 0;
		done += n;
	}
	return 1;
}

static void serve(int ports)
{
	struct pollfd listening[64];
	int one = 1;
	if (ports > 64)
		ports = 64;
	for (int n = 0; n < ports; n++) {
		struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(FIRST_PORT + n), .sin_addr.s_addr = INADDR_ANY };
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
		if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 64) < 0)
			die("serve");
		listening[n] = (struct pollfd){ .fd = fd, .events = POLLIN };
	}
	while (poll(listening, ports, -1) > 0) {
		for (int n = 0; n < ports; n++) {
			uint32_t bytes;
			if (!(listening[n].revents & POLLIN))
				continue;
			int fd = accept(listening[n].fd, NULL, NULL);
			if (fd < 0)
				continue;
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
			if (move_all(fd, &bytes, 4, 0) && bytes <= MOST && move_all(fd, content, bytes, 0) && move_all(fd, content, bytes, 1))
				/* The client's reset ends it: no port waits (TIME_WAIT) on either side. */
				move_all(fd, content, 1, 0);
			close(fd);
		}
	}
}

static int transfer(const char *address, int ports, uint32_t bytes, double seconds)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };
	uint64_t done = 0;
	int one = 1;
	double start = now();
	static uint8_t request[4 + MOST];
	memcpy(request, &bytes, 4);
	while (now() - start < seconds) {
		struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(FIRST_PORT + done % ports) };
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		if (fd < 0 || bytes > MOST || inet_pton(AF_INET, address, &to.sin_addr) != 1)
			die("transfer");
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
			die("connect");
		if (!move_all(fd, request, 4 + bytes, 1) || !move_all(fd, content, bytes, 0))
			die("transfer");
		close(fd);
		done++;
	}
	printf("%.3f\n", done / (now() - start));
	return 0;
}

static void sink(int port)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 4096;
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = INADDR_ANY };
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0)
		die("sink");
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	if ((argc == 6 || argc == 7) && !strcmp(argv[1], "send"))
		return send_frames(argv[2], argv[3], atoi(argv[4]), atof(argv[5]), argc == 7 ? atof(argv[6]) : 0);
	if (argc == 3 && !strcmp(argv[1], "serve"))
		serve(atoi(argv[2]));
	if (argc == 6 && !strcmp(argv[1], "transfer"))
		return transfer(argv[2], atoi(argv[3]), atoi(argv[4]), atof(argv[5]));
	if (argc == 3 && !strcmp(argv[1], "sink"))
		sink(atoi(argv[2]));
	fprintf(stderr, "usage: load send DEVICE DSTMAC FLOWS SECONDS [PPS] | load serve PORTS | load transfer ADDRESS PORTS BYTES SECONDS | load sink PORT\n");
	return 2;
}
