module dbserver

go 1.19
