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
    wire signed [WX:0] number = {(SX != 0) & x[WX-1], x};
    wire signed [2*WX+1:0] square = number * number;
    wire [WSUM+2*WX+1:0] wide = {{WSUM{1'b0}}, square};
    wire unused_top = &{1'b0, wide[WSUM+2*WX+1:WSUM]};
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
