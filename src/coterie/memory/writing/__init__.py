"""Write-behind: queued changes of a tier, their waiting callers, and the threads that write them."""
