# surface.awk - the preprocessed public headers in, and out of them a macro call
# for each function, struct, field and constant, for a C program to print.
{ text = text " " $0 }
END {
	while (match(text, /typedef (struct|enum) pmz_[a-z0-9_]+ *{[^}]*}/))
		type(cut())
	while (match(text, /visibility[(]"default"[)][^;]*;/))
		function_of(cut())
}

function cut(   piece) {
	piece = substr(text, RSTART, RLENGTH)
	text = substr(text, 1, RSTART - 1) substr(text, RSTART + RLENGTH)
	return piece
}

function type(text,   word) {
	split(text, word, /[ {]+/)
	gsub(/^[^{]*{|}$/, "", text)
	if (word[2] == "enum")
		constants(text)
	else
		layout(word[3], text)
}

function constants(text,   i, n, item) {
	n = split(text, item, ",")
	for (i = 1; i <= n; i++)
		if (match(item[i], /PMZ_[A-Z0-9_]+/))
			print "ENUM(" substr(item[i], RSTART, RLENGTH) ")"
}

function layout(name, text,   i, n, field) {
	print "SIZE(" name ")"
	gsub(/\[[^]]*\]/, "", text)
	n = split(text, field, /[,;]/)
	for (i = 1; i <= n; i++)
		if (match(field[i], /[a-z0-9_]+ *$/))
			print "FIELD(" name ", " substr(field[i], RSTART) ")"
}

function function_of(text) {
	if (match(text, /pmz_[a-z0-9_]+ *[(]/))
		print "FUNCTION(" substr(text, RSTART, RLENGTH - 1) ")"
}
