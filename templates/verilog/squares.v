// The sum of the squares of the numbers that pass, beside lane 0. HELD: it stands one step later
// and until the next vector's.
module crystal_squares #(
    parameter WX = 1, parameter SX = 0, parameter WSUM = 1, parameter HELD = 0
) (
    input  wire clk,
    input  wire advance,
    input  wire first,
    input  wire counts,
    input  wire [WX-1:0] x,
    output wire [WSUM-1:0] sum
);
    wire [2*WX-1:0] square;
    generate
        if (WX > 5) begin : product
            wire signed [WX:0] number = {(SX != 0) & x[WX-1], x};
            wire signed [2*WX+1:0] whole = number * number;
            wire unused_ends = &{1'b0, whole[2*WX+1:2*WX]};
            assign square = whole[2*WX-1:0];
        end else begin : product
            // So few bits need no multiplier: entry k of a table is the square of the x of bits k.
            function [(2*WX<<WX)-1:0] squares(input unused);
                integer k, number, own;
                begin
                    squares = 0;
                    for (k = 0; k < (1 << WX); k = k + 1) begin
                        number = (SX != 0 && k >= (1 << (WX - 1))) ? k - (1 << WX) : k;
                        own = number * number;
                        squares = squares | (own << (2 * WX * k));
                    end
                end
            endfunction
            localparam [(2*WX<<WX)-1:0] ALL = squares(1'b0);
            assign square = ALL[2*WX*x +: 2*WX];
        end
    endgenerate
    wire [WSUM+2*WX-1:0] wide = {{WSUM{1'b0}}, square};
    wire unused_top = &{1'b0, wide[WSUM+2*WX-1:WSUM]};
    reg [WSUM-1:0] term, total;
    always @(posedge clk) if (advance) begin
        term <= counts ? wide[WSUM-1:0] : {WSUM{1'b0}};
        total <= (first ? {WSUM{1'b0}} : total) + term;
    end
    generate
        if (HELD != 0) begin : kept
            reg [WSUM-1:0] held;
            always @(posedge clk) if (advance & first) held <= total;
            assign sum = held;
        end else begin : kept
            assign sum = total;
        end
    endgenerate
endmodule
