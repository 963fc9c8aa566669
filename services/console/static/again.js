"use strict";
// A page of something that is being checked looks again until it is.
setTimeout(() => location.reload(), 1500);
