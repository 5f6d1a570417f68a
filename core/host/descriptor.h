/*
** descriptor.h - sending a descriptor through a Unix domain socket (SCM_RIGHTS, unix(7))
*/

#ifndef LENCASE_HOST_DESCRIPTOR_H
#define LENCASE_HOST_DESCRIPTOR_H

/* Sends 'fd', which stays open here. 0, or an errno. Async-signal-safe. */
int descriptor_send(int socket, int fd);

/* The next one, close-on-exec; the caller closes it. -1: none has come. Does not wait. */
int descriptor_receive(int socket);

#endif
