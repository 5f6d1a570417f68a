/*
** descriptor.h - a descriptor on its way through a Unix domain socket (SCM_RIGHTS, unix(7))
*/

#ifndef LENCASE_HOST_DESCRIPTOR_H
#define LENCASE_HOST_DESCRIPTOR_H

/* Sends 'fd', which stays open here. 0, or an errno. Async-signal-safe. */
int descriptor_send(int socket, int fd);

/* What has come, close-on-exec and the caller's; -1: nothing has. Does not wait. */
int descriptor_receive(int socket);

#endif
