/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SISCI_API_MACROS_H
#define SISCI_API_MACROS_H

/* Words in front of parameters that say which way they go; programs write them, too. */
#ifndef IN
#define IN
#endif
#ifndef OUT
#define OUT
#endif
#ifndef IN_OUT
#define IN_OUT
#endif

/* In front of prototypes. */
#ifndef DLL
#define DLL
#endif
#ifndef SISCI_API_EXPORT
#define SISCI_API_EXPORT
#endif

#endif
