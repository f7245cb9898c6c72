# Completes lcbq in fish. Load it with: lcbq completion fish | source
function __lcbq_complete
    set -l typed (commandline -opc)
    set -l cur (commandline -ct)
    for line in ($typed[1] completion answer -- $typed[2..-1] "$cur" 2>/dev/null)
        if test "$line" = ":files"
            __fish_complete_path "$cur"
        else
            echo $line
        end
    end
end
complete -c lcbq -f -a '(__lcbq_complete)'
